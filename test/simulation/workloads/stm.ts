import { type Etcd, EtcdError, prefix, type Transaction } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { Seen } from '../../checkers/transactions.ts'
import type { Random } from '../random.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import { outcomeOf } from './outcome.ts'

const ACCOUNTS = ['stm/account/a', 'stm/account/b', 'stm/account/c', 'stm/account/d']
/** An account nobody has written to yet has so much in it. */
const OPENING = 100
const TOTAL = ACCOUNTS.length * OPENING
const BANK = { from: 'stm/account/', to: 'stm/account0' }
const LIST = { from: 'stm/list/', to: 'stm/list0' }
const LONGEST_LIST = 6

/** Processes that move money between a few accounts, look at all of them at once, and wait for it. */
export const stmWorkload: Workload = {
  name: 'stm',
  lines: () => [],
  // Of markers.
  longestLeaseMs: 620_000,
  actor: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) return
    const random = stage.world.random.fork(`actor ${process.name}`)
    const tasks = Array.from({ length: 3 }, (_, index) =>
      teller(etcd, { process, stage, random: random.fork(`teller ${index}`) }),
    )
    await Promise.all(tasks)
    await etcd.close()
  },
  afterwards: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) throw new Error('a healed cluster could not be reached')
    const { value } = await etcd.stm(tx => total(new Run(tx)))
    if (value !== TOTAL) stage.unexpected(new Error(`${value} is left of ${TOTAL}`), 'the bank')
    await etcd.close()
  },
}

interface Scene {
  readonly process: SimulatedProcess
  readonly stage: Stage
  readonly random: Random
}

/** What one run saw and wrote, for the checkers. */
class Run {
  readonly seen: Seen[]
  readonly wrote = new Map<string, string | undefined>()
  readonly #tx: Transaction

  constructor(tx: Transaction, seen: Seen[] = []) {
    this.#tx = tx
    this.seen = seen
  }

  async get(key: string): Promise<string | undefined> {
    const found = (await this.#tx.get(key))?.text()
    this.seen.push({ span: { from: key }, values: new Map(found === undefined ? [] : [[key, found]]) })
    return found
  }

  async range(span: { readonly from: string; readonly to: string }): Promise<ReadonlyMap<string, string>> {
    const found = await this.#tx.range(prefix(span.from))
    const values = new Map(found.map(kv => [mapKey(kv.key), kv.text()]))
    this.seen.push({ span, values })
    return values
  }

  /** The key of the first of a span, if there is one: what lies behind it does not count. */
  async first(span: { readonly from: string; readonly to: string }): Promise<string | undefined> {
    const [found] = await this.#tx.range(prefix(span.from), { limit: 1 })
    if (found === undefined) {
      this.seen.push({ span, values: new Map() })
      return undefined
    }
    const key = mapKey(found.key)
    this.seen.push({ span: { from: span.from, to: `${key}\0` }, values: new Map([[key, found.text()]]) })
    return key
  }

  /** Keeps what both have seen, and what the one that did not retry has written. */
  async either(first: (run: Run) => Promise<void>, second: (run: Run) => Promise<void>): Promise<void> {
    const branch = (body: (run: Run) => Promise<void>) => async (tx: Transaction) => {
      const run = new Run(tx, this.seen)
      await body(run)
      return run
    }
    const { wrote } = await this.#tx.orElse(branch(first), branch(second))
    for (const [key, value] of wrote) this.wrote.set(key, value)
  }

  put(key: string, value: string): void {
    this.#tx.put(key, value)
    this.wrote.set(key, value)
  }

  delete(key: string): void {
    this.#tx.delete(key)
    this.wrote.set(key, undefined)
  }

  clearList(): void {
    this.#tx.deletePrefix(LIST.from)
    for (let index = 0; index < LONGEST_LIST; index++) this.wrote.set(`${LIST.from}${index}`, undefined)
  }

  check(condition: boolean): void {
    this.#tx.check(condition)
  }
}

type Body = (run: Run, unique: string) => Promise<unknown>

async function teller(etcd: Etcd, scene: Scene): Promise<void> {
  const { process, stage, random } = scene
  for (let count = 0; !stage.isOver; count++) {
    // Now and then several at once, on the same accounts.
    await pause(process, random.chance(0.6) ? random.exponential(2500) : 1)
    if (stage.isOver) return
    const kind = random.next()
    const body =
      kind < 0.55
        ? transfer(random, process)
        : kind < 0.65
          ? look(stage)
          : kind < 0.77
            ? list(random)
            : kind < 0.83
              ? head
              : kind < 0.88
                ? either(random)
                : kind < 0.94
                  ? blind(random)
                  : wait(random)
    await transact(etcd, scene, `${count}-${random.integer(0, 1e9)}`, body)
  }
}

function transfer(random: Random, process: SimulatedProcess): Body {
  const from = random.pick(ACCOUNTS)
  const to = random.pick(ACCOUNTS.filter(account => account !== from))
  const amount = random.integer(1, 30)
  // Some functions wait for something else, too.
  const idleMs = random.chance(0.3) ? random.exponential(20) : 0
  return async (run, unique) => {
    const [has, gets] = await Promise.all([run.get(from), run.get(to)])
    if (idleMs > 0) await pause(process, idleMs)
    if (balance(has) < amount) throw new Poor()
    run.put(from, `${balance(has) - amount}|${unique}|from`)
    run.put(to, `${balance(gets) + amount}|${unique}|to`)
  }
}

/** A function may fail, too. */
class Poor extends Error {}

function look(stage: Stage): Body {
  return async run => {
    const sum = await total(run)
    if (sum !== TOTAL) stage.unexpected(new Error(`${sum} in the bank, not ${TOTAL}`), 'look')
  }
}

async function total(run: Run): Promise<number> {
  const found = await run.range(BANK)
  return ACCOUNTS.reduce((sum, account) => sum + balance(found.get(account)), 0)
}

/** Appends to a short list, or clears the end of it. */
function list(random: Random): Body {
  const grows = random.chance(0.6)
  return async (run, unique) => {
    const keys = [...(await run.range(LIST)).keys()]
    if (grows && keys.length < LONGEST_LIST) run.put(`${LIST.from}${keys.length}`, `${unique}|item`)
    else if (keys.length > 0) run.delete(keys.at(-1)!)
  }
}

/** Takes the first of the list; begins another one when there is none. */
async function head(run: Run, unique: string): Promise<void> {
  const first = await run.first(LIST)
  if (first !== undefined) return run.delete(first)
  run.clearList()
  run.put(`${LIST.from}${LONGEST_LIST - 1}`, `${unique}|only`)
}

/** What the left side has written must be nowhere if the right side is taken. */
function either(random: Random): Body {
  const account = random.pick(ACCOUNTS)
  const least = random.integer(80, 130)
  return (run, unique) =>
    run.either(
      async left => {
        const has = balance(await left.get(account))
        left.put('stm/note', `${unique}|left`)
        left.check(has >= least)
      },
      async right => {
        await right.get('stm/note')
        right.put('stm/note', `${unique}|right`)
      },
    )
}

/** Writes one key because of another. */
function blind(random: Random): Body {
  const account = random.pick(ACCOUNTS)
  return async (run, unique) => {
    await run.get(account)
    run.put('stm/note', `${unique}|note`)
  }
}

function wait(random: Random): Body {
  const account = random.pick(ACCOUNTS)
  const least = random.integer(50, 130)
  return async run => run.check(balance(await run.get(account)) >= least)
}

async function transact(
  etcd: Etcd,
  { process, stage, random }: Scene,
  name: string,
  body: Body,
): Promise<void> {
  // A marker that an operator deletes says that there was no commit.
  const markersAreSafe = !stage.plan.faults.includes('key-deleted')
  const patience = new AbortController()
  const timer = process.setTimer(Math.min(30_000, random.exponential(8000)), () =>
    patience.abort(new Impatient()),
  )
  const runs: Run[] = []
  const record = stage.recorder.transaction(process, runs)
  let insideAtOnce = 0
  try {
    const { revision } = await etcd.stm(
      async tx => {
        const run = new Run(tx)
        runs.push(run)
        insideAtOnce += 1
        if (insideAtOnce > 1) stage.unexpected(new Error('a function runs twice at once'), 'stm')
        try {
          await body(run, `${process.name}-${name}-${runs.length}`)
        } finally {
          insideAtOnce -= 1
        }
      },
      {
        signal: patience.signal,
        exactlyOnce: random.chance(0.4) && markersAreSafe,
        isolation: random.pick(['serializable-snapshot', 'serializable']),
      },
    )
    record.settle('ok', { revision })
  } catch (error) {
    // Whoever leaves does not know what becomes of a commit under way.
    record.settle(
      error instanceof Impatient ? 'unknown' : error instanceof Poor ? 'failed' : outcomeOf(error),
    )
    if (!EtcdError.is(error) && !(error instanceof Impatient) && !(error instanceof Poor))
      stage.unexpected(error, 'stm')
  } finally {
    timer.cancel()
  }
}

class Impatient extends Error {}

function balance(value: string | undefined): number {
  return value === undefined ? OPENING : Number(value.split('|')[0])
}
