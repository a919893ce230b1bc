import { setMaxListeners } from 'node:events'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Session } from '../../../src/index.ts'
import { sharedNowMs } from '../clock.ts'
import { Journal } from '../journal.ts'
import type { Round } from '../messages.ts'
import { markOf } from '../session-marks.ts'
import { everything, type Work } from './everything.ts'
import type { Post } from './post.ts'
import { StallWatch } from './stall-watch.ts'
import { Onlooker } from './watching.ts'
import { whatWentWrong } from './what-went-wrong.ts'

/** What a process has from round to round. */
export type Worker = Pick<Post, 'place' | 'etcd' | 'chance'> & {
  readonly name: string
  /** The one all tasks share; a new one once it is lost. */
  session(): Promise<Session>
}

/** One round of work. */
export class Shift {
  readonly #worker: Worker
  readonly #round: Round
  readonly #journal: Journal
  readonly #stalls: StallWatch
  readonly #onlooker: Onlooker
  readonly #resting = new AbortController()
  readonly #tasks: readonly Promise<void>[]
  readonly #followed = new WeakSet<Session>()
  #hasEnded = false

  constructor(worker: Worker, round: Round) {
    this.#worker = worker
    this.#round = round
    this.#journal = new Journal(path.join(round.folder, `${worker.name}.ndjson`), worker.name)
    this.#stalls = new StallWatch(this.#journal)
    this.#onlooker = new Onlooker(worker.etcd, this.#journal, round)
    // Each task listens, and so does what it waits for.
    setMaxListeners(0, this.#resting.signal)
    this.#tasks = everything.flatMap(work => Array.from({ length: work.hands }, () => this.#repeat(work)))
  }

  async rest(): Promise<void> {
    this.#resting.abort()
    await Promise.all(this.#tasks)
  }

  async end(revision: bigint): Promise<void> {
    await this.#onlooker.until(revision)
    this.#stalls.stop()
    this.#hasEnded = true
    this.#journal.close()
  }

  async #repeat({ once, restMs }: Work): Promise<void> {
    const journal = this.#journal
    const { signal } = this.#resting
    const { place, etcd } = this.#worker
    const chance = this.#worker.chance.fork()
    const session = () => this.#session()
    const [round, stalls] = [this.#round, this.#stalls]
    const post: Post = { place, etcd, round, chance, journal, stalls, resting: signal, session }
    while (!signal.aborted) {
      await once(post).catch(error => {
        journal.begin('troubles', { at: sharedNowMs(), what: whatWentWrong(error) })
      })
      await sleep(chance.between(...restMs), undefined, { signal }).catch(() => {})
    }
  }

  async #session(): Promise<Session> {
    const session = await this.#worker.session()
    if (!this.#followed.has(session)) this.#follow(session)
    return session
  }

  /** It may be one of an earlier round. A mark that goes with its lease tells what became of that. */
  #follow(session: Session): void {
    this.#followed.add(session)
    const { leaseId: lease, signal } = session
    const id = this.#journal.begin('sessions', { openedAt: sharedNowMs(), lease })
    const mark = markOf(this.#round.prefix, id)
    // Whose mark is not made, or not in time, is not judged.
    this.#worker.etcd.put(mark, '', { lease }).catch(() => {})
    const lost = () => {
      // Between two rounds nobody takes notes.
      if (this.#hasEnded) return
      const reason = whatWentWrong(signal.reason)
      this.#journal.more('sessions', id, { believedUntil: sharedNowMs(), reason })
    }
    if (signal.aborted) lost()
    else signal.addEventListener('abort', lost, { once: true })
  }
}
