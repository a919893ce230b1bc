import type { Etcd } from '../../../src/index.ts'
import { Bank, balance, Poor } from '../../support/bank.ts'
import { ObservedRun } from '../../support/observed-run.ts'
import type { Random } from '../random.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import { expected } from './acting.ts'
import { outcomeOf } from './outcome.ts'

const bank = new Bank('stm/account/', ['a', 'b', 'c', 'd'])
const LIST = 'stm/list/'
const LONGEST_LIST = 6

/** Processes that move money between a few accounts, look at all of them at once, and wait for it. */
export const stmWorkload: Workload = {
  name: 'stm',
  lines: () => [],
  deeds: { called: 'commits', enough: 100 },
  // Nobody has a session.
  spared: new Set(['lease-ends-at-deadline']),
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
    const { value } = await etcd.stm(tx => bank.sum(new ObservedRun(tx)))
    if (value !== bank.total) stage.unexpected(new Error(`${value} is left of ${bank.total}`), 'the bank')
    await etcd.close()
  },
}

interface Scene {
  readonly process: SimulatedProcess
  readonly stage: Stage
  readonly random: Random
}

type Body = (run: ObservedRun, unique: string) => Promise<unknown>

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
  const from = random.pick(bank.accounts)
  const to = random.pick(bank.accounts.filter(account => account !== from))
  const amount = random.integer(1, 30)
  const idleMs = random.chance(0.3) ? random.exponential(20) : 0
  const meanwhile = idleMs > 0 ? () => pause(process, idleMs) : undefined
  return (run, unique) => bank.transfer(run, { from, to, amount, meanwhile }, unique)
}

function look(stage: Stage): Body {
  return async run => {
    const sum = await bank.sum(run)
    if (sum !== bank.total) stage.unexpected(new Error(`${sum} in the bank, not ${bank.total}`), 'look')
  }
}

/** Appends to a short list, or clears the end of it. */
function list(random: Random): Body {
  const grows = random.chance(0.6)
  return async (run, unique) => {
    const keys = [...(await run.below(LIST)).keys()]
    if (grows && keys.length < LONGEST_LIST) run.put(`${LIST}${keys.length}`, `${unique}|item`)
    else if (keys.length > 0) run.delete(keys.at(-1)!)
  }
}

/** Takes the first of the list; begins another one when there is none. */
async function head(run: ObservedRun, unique: string): Promise<void> {
  const first = await run.first(LIST)
  if (first !== undefined) return run.delete(first)
  const keys = Array.from({ length: LONGEST_LIST }, (_, index) => `${LIST}${index}`)
  run.deleteBelow(LIST, keys)
  run.put(keys.at(-1)!, `${unique}|only`)
}

/** What the left side has written must be nowhere if the right side is taken. */
function either(random: Random): Body {
  const account = random.pick(bank.accounts)
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
  const account = random.pick(bank.accounts)
  return async (run, unique) => {
    await run.get(account)
    run.put('stm/note', `${unique}|note`)
  }
}

function wait(random: Random): Body {
  const account = random.pick(bank.accounts)
  const least = random.integer(50, 130)
  return async run => run.check(balance(await run.get(account)) >= least)
}

async function transact(
  etcd: Etcd,
  { process, stage, random }: Scene,
  name: string,
  body: Body,
): Promise<void> {
  // A marker that an operator deletes says that there was no commit. What he writes over goes later, too.
  const { faults } = stage.plan
  const markersAreSafe = !faults.includes('key-deleted') && !faults.includes('key-overwritten')
  const patience = new AbortController()
  const timer = process.setTimer(Math.min(30_000, random.exponential(8000)), () =>
    patience.abort(new Impatient()),
  )
  const runs: ObservedRun[] = []
  const record = stage.recorder.transaction(process, runs)
  let insideAtOnce = 0
  try {
    const { revision } = await etcd.stm(
      async tx => {
        const run = new ObservedRun(tx)
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
    if (!(error instanceof Impatient) && !(error instanceof Poor)) expected(stage, error, 'stm')
  } finally {
    timer.cancel()
  }
}

class Impatient extends Error {}
