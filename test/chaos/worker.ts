/**
 * A process that uses the library as a user would, and writes down what it was told. Started by `fork` with its
 * config as JSON in its only argument; it works when told to, and ends by itself when told to leave.
 */
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Etcd, type Session } from '../../src/index.ts'
import { Chance } from './chance.ts'
import { sharedNowMs } from './clock.ts'
import { Journal } from './journal.ts'
import type { Footprint, FromWorker, Round, ToWorker, WorkerConfig } from './messages.ts'
import { someLine } from './work/lines.ts'
import { lockForAWhile } from './work/locking.ts'
import { readSomething, writeSomething } from './work/reading-and-writing.ts'
import { StallWatch } from './work/stall-watch.ts'
import { Onlooker } from './work/watching.ts'
import { whatWentWrong } from './work/what-went-wrong.ts'

const config = JSON.parse(process.argv[2] ?? '{}') as WorkerConfig
const chance = new Chance(config.seed)
const etcd = await connect(config.endpoints, { connectTimeoutMs: 120_000 })
etcd.on('warning', () => {})

let hasLeft = false
let session: Session | undefined
let shift: Shift | undefined
process.on('message', message => void obey(message as ToWorker))
// Whoever gave the orders is gone: nobody else would end this.
process.on('disconnect', () => {
  if (!hasLeft) process.exit(1)
})
say({ kind: 'ready' })

async function obey(message: ToWorker): Promise<void> {
  try {
    switch (message.kind) {
      case 'work':
        shift = new Shift(message.round)
        return
      case 'rest':
        await shift?.rest()
        return say({ kind: 'rested' })
      case 'end':
        await shift?.end(message.revision)
        return say({ kind: 'ended', footprint: footprint() })
      case 'leave':
        await etcd.close()
        hasLeft = true
        say({ kind: 'left' })
        // Without the channel nothing is left that would keep the process alive.
        return process.disconnect()
    }
  } catch (error) {
    say({ kind: 'trouble', what: `${config.name}: ${whatWentWrong(error)}` })
  }
}

/** One round of work. */
class Shift {
  readonly #journal: Journal
  readonly #stalls: StallWatch
  readonly #onlooker: Onlooker
  readonly #resting = new AbortController()
  readonly #tasks: readonly Promise<void>[]
  #hasEnded = false

  constructor(round: Round) {
    this.#journal = new Journal(path.join(round.folder, `${config.name}.ndjson`), config.name)
    this.#stalls = new StallWatch(this.#journal)
    this.#onlooker = new Onlooker(etcd, this.#journal, round)
    const journal = this.#journal
    this.#tasks = [
      ...[1, 2].map(() =>
        this.#repeat(20, 150, async own => {
          const opened = await this.#session()
          await lockForAWhile({ session: opened, use: someLine(round.prefix, own), chance: own, journal })
        }),
      ),
      this.#repeat(30, 120, own => writeSomething(etcd, round, own, journal)),
      this.#repeat(30, 120, own => readSomething(etcd, round, own, journal)),
    ]
  }

  /** It may have been opened in an earlier round. Between two rounds nobody takes notes. */
  lost(id: string, { signal }: Session): void {
    if (this.#hasEnded) return
    this.#journal.more('sessions', id, { lostAt: sharedNowMs(), reason: whatWentWrong(signal.reason) })
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

  async #repeat(leastMs: number, mostMs: number, once: (own: Chance) => Promise<void>): Promise<void> {
    const own = chance.fork()
    const { signal } = this.#resting
    while (!signal.aborted) {
      await once(own).catch(error => {
        this.#journal.begin('troubles', { at: sharedNowMs(), what: whatWentWrong(error) })
      })
      await sleep(own.between(leastMs, mostMs), undefined, { signal }).catch(() => {})
    }
  }

  /** The session all tasks of this process share; a new one once it is lost. */
  async #session(): Promise<Session> {
    if (session !== undefined && session.state !== 'lost') return session
    const opened = await openOnce(this.#journal)
    return opened
  }
}

let opening: Promise<Session> | undefined

function openOnce(journal: Journal): Promise<Session> {
  opening ??= open(etcd, journal).finally(() => {
    opening = undefined
  })
  return opening
}

async function open(client: Etcd, journal: Journal): Promise<Session> {
  const opened = await client.session({ ttl: config.ttl })
  const id = journal.begin('sessions', { at: sharedNowMs(), lease: opened.leaseId })
  opened.on('state', state => {
    if (state !== 'lost') return
    shift?.lost(id, opened)
  })
  session = opened
  return opened
}

function footprint(): Footprint {
  globalThis.gc?.()
  return { heapBytes: process.memoryUsage().heapUsed, handles: process.getActiveResourcesInfo().length }
}

function say(message: FromWorker): void {
  process.send?.(message)
}
