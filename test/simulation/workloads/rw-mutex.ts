import type { ReadWriteHold } from '../../../src/index.ts'
import { changingModes, readersAndWriters } from '../../checkers/line-rule.ts'
import { checkWriterAlone } from '../../checkers/writer-alone.ts'
import type { Plan } from '../plan.ts'
import type { Stage, Workload } from '../stage.ts'
import { inTime } from './acting.ts'
import { type Locks, lockWorkload, type Wanted } from './locking.ts'
import { REQUEST_MS } from './standing.ts'

/** Names in which nobody changes its mode, so that the history alone tells who may be together. */
const PLAIN = 'rw/'
/** Names in which holders change their modes. */
const CHANGING = 'modes/'

type How = 'readLock' | 'writeLock' | 'tryReadLock' | 'tryWriteLock'

/** Readers and writers, some of whom become the other. */
export const rwMutexWorkload: Workload = lockWorkload<ReadWriteHold>({
  name: 'rw-mutex',
  prefixes: namesOf,
  wanted: (random, plan) => {
    const name = random.pick(namesOf(plan)).slice(0, -1)
    const reads = random.chance(0.6)
    const tries = random.chance(0.15)
    const how: How = reads ? (tries ? 'tryReadLock' : 'readLock') : tries ? 'tryWriteLock' : 'writeLock'
    return wantedOf(name, how)
  },
  each: plan => namesOf(plan).flatMap(prefix => [wantedOf(prefix.slice(0, -1), 'writeLock')]),
  again: hold =>
    unsure.has(hold) ? undefined : wantedOf(hold.name, hold.mode === 'read' ? 'readLock' : 'writeLock'),
  isShared: ({ mode }) => mode === 'read',
  // A value that somebody wrote over no longer says what its place was granted for.
  spared: new Set(['key-overwritten']),
  ruleOf: line => (line.startsWith(PLAIN) ? readersAndWriters : changingModes),
  does: 'change of mode',
  meanwhile: async ({ process, stage, random, hold }) => {
    if (!hold.name.startsWith(CHANGING)) return
    together(stage, hold)
    if (!hold.held) return
    unsure.add(hold)
    if (hold.mode === 'write' && random.chance(0.5))
      await inTime({ process, stage }, REQUEST_MS, 'downgrade', () => hold.downgrade())
    else if (hold.mode === 'read' && random.chance(0.5))
      await inTime({ process, stage }, REQUEST_MS, 'upgrade', () => hold.tryUpgrade())
    unsure.delete(hold)
    together(stage, hold)
  },
} satisfies Locks<ReadWriteHold>)

/** Those whose mode the cluster may know better. */
const unsure = new WeakSet<ReadWriteHold>()

/** Everybody who has been seen to hold a name on this stage. */
const seen = new WeakMap<Stage, Map<string, Set<ReadWriteHold>>>()

/**
 * Whoever sees everything at one instant sees no writer beside anybody else. Where an operator or a server that
 * lies takes places away, belief may outlast them for a while, so there it is not asked.
 */
function together(stage: Stage, hold: ReadWriteHold): void {
  const names = seen.get(stage) ?? new Map<string, Set<ReadWriteHold>>()
  seen.set(stage, names)
  const holds = names.get(hold.name) ?? new Set()
  names.set(hold.name, holds)
  holds.add(hold)
  for (const one of holds) if (!one.held) holds.delete(one)
  if (!isSound(stage.plan)) return
  const holders = [...holds].map(({ mode, fencingToken: token }) => ({ mode, token }))
  for (const { rule, message } of checkWriterAlone([{ name: hold.name, holders }]))
    stage.unexpected(new Error(`${rule}: ${message}`), 'a look at all holders')
}

function isSound({ hostile, faults }: Plan): boolean {
  return !hostile && !faults.some(kind => DEPRIVING.has(kind))
}

const DEPRIVING: ReadonlySet<string> = new Set([
  'lease-revoked',
  'lease-expires-early',
  'lease-ends-at-deadline',
  'key-deleted',
  'key-overwritten',
])

function wantedOf(name: string, how: How): Wanted<ReadWriteHold> {
  const tries = how === 'tryReadLock' || how === 'tryWriteLock'
  return { names: [name], tries, take: (session, signal) => session.rwMutex(name)[how]({ signal }) }
}

function namesOf({ lines }: Plan): readonly string[] {
  return Array.from({ length: lines }, (_, index) => [`${PLAIN}${index}/`, `${CHANGING}${index}/`]).flat()
}
