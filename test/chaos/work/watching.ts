import { type Etcd, EtcdError, prefix, type WatchEvent } from '../../../src/index.ts'
import type { Change } from '../../checkers/history.ts'
import { sharedNowMs } from '../clock.ts'
import type { Journal } from '../journal.ts'
import type { Round } from '../messages.ts'
import { foundOf } from './reading-and-writing.ts'

/** Watches the plain keys of a round from its beginning and writes down what it is told, in that order. */
export class Onlooker {
  readonly #etcd: Etcd
  readonly #journal: Journal
  readonly #range
  readonly #id: string
  readonly #done: Promise<void>
  #last: bigint | undefined
  #toldUntil: bigint
  #count = 0
  #enough: () => void = () => {}

  constructor(etcd: Etcd, journal: Journal, round: Round) {
    this.#etcd = etcd
    this.#journal = journal
    this.#range = prefix(`${round.prefix}kv/`)
    this.#toldUntil = round.since
    this.#id = journal.begin('watches', {
      from: `${round.prefix}kv/`,
      to: Buffer.from(this.#range.end).toString('latin1'),
      since: round.since + 1n,
      toldUntil: round.since,
    })
    this.#done = this.#look()
    // Told to whoever asks for the end.
    this.#done.catch(() => {})
  }

  /** Resolves when everything up to that revision, which changed something here, was told. */
  async until(revision: bigint): Promise<void> {
    this.#last = revision
    if (this.#toldUntil >= revision) this.#enough()
    await this.#done
    this.#journal.more('watches', this.#id, { toldUntil: this.#toldUntil })
  }

  async #look(): Promise<void> {
    for (;;) {
      await using watch = this.#etcd.watch(this.#range, { from: this.#toldUntil + 1n })
      this.#enough = () => void watch.close()
      try {
        for await (const { revision, events } of watch.revisions()) {
          this.#tell({ kind: 'changes', revision, changes: events.map(changeOf) })
          this.#toldUntil = revision
          if (this.#last !== undefined && revision >= this.#last) return
        }
        return
      } catch (error) {
        if (!EtcdError.is(error, 'COMPACTED')) throw error
        await this.#startOver()
        if (this.#last !== undefined && this.#toldUntil >= this.#last) return
      }
    }
  }

  /** What a user does who missed something: takes everything there is, and goes on from there. */
  async #startOver(): Promise<void> {
    for (;;) {
      try {
        const { kvs, revision } = await this.#etcd.range(this.#range)
        this.#tell({ kind: 'reset', revision, found: kvs.map(foundOf) })
        this.#toldUntil = revision
        return
      } catch (error) {
        // A closed client rejects at once, for ever.
        if (!EtcdError.is(error) || error.code === 'CLIENT_CLOSED') throw error
      }
    }
  }

  #tell(told: object): void {
    this.#journal.more('told', `${this.#id}:${++this.#count}`, {
      watch: this.#id,
      at: sharedNowMs(),
      ...told,
    })
  }
}

function changeOf(event: WatchEvent): Change {
  if (event.type === 'delete') return { kind: 'delete', key: Buffer.from(event.key).toString('latin1') }
  const { kv } = event
  return {
    kind: 'put',
    key: Buffer.from(kv.key).toString('latin1'),
    value: kv.text(),
    createRevision: kv.createRevision,
    version: kv.version,
    lease: kv.lease,
  }
}
