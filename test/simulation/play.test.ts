import test from 'ava'
import { run } from './judge.ts'
import { type FaultKind, faultKinds, type Plan, planOf } from './plan.ts'
import { workloads } from './workloads/index.ts'

/** Short, and with something of everything. */
function short(seed: number, rest: Partial<Plan> = {}): Plan {
  return {
    ...planOf(seed, 'mutex'),
    seconds: 10,
    faults: ['cut', 'process-stalled', 'process-crashes', 'reply-lost', 'compaction'],
    ...rest,
  }
}

// One after the other: while one is played, the clock and the timers of the machine are out of use.

test.serial('a seed played twice comes to the same end by the same way', async t => {
  const [once, again] = [await run(short(9), { trace: true }), await run(short(9), { trace: true })]
  t.is(once.played.hash, again.played.hash)
  t.deepEqual(once.played.trace, again.played.trace)
  t.deepEqual(once.played.history, again.played.history)
  t.true(once.played.trace.length > 500)
  t.deepEqual(once.violations, [])
})

test.serial('a trace that is written changes nothing', async t => {
  const [silent, told] = [await run(short(9)), await run(short(9), { trace: true })]
  t.is(silent.played.hash, told.played.hash)
  t.deepEqual(silent.played.trace, [])
})

test.serial('different seeds come to different ends', async t => {
  const hashes = new Set<string>()
  for (let seed = 1; seed <= 5; seed++) hashes.add((await run(short(seed))).played.hash)
  t.is(hashes.size, 5)
})

/** Without sessions there are no leases to end, and without keys on them none that an operator would take. */
const nothingToStrike: Readonly<Record<string, readonly FaultKind[]>> = {
  kv: ['lease-revoked', 'lease-expires-early', 'lease-ends-at-deadline', 'key-deleted', 'key-overwritten'],
  latch: ['key-deleted', 'key-overwritten'],
  'rw-mutex': ['key-overwritten'],
  // Where operators touch keys nobody relies on markers, and so there are no leases either.
  stm: ['lease-revoked', 'lease-expires-early', 'lease-ends-at-deadline', 'key-deleted', 'key-overwritten'],
}

for (const recipe of Object.keys(workloads))
  test.serial(`every fault strikes that finds something to strike: ${recipe}`, async t => {
    const struck = new Set<FaultKind>()
    for (let seed = 1; seed <= 2; seed++) {
      const { played, violations } = await run({
        ...planOf(seed, recipe),
        faults: faultKinds,
        hostile: false,
        seconds: 59,
        members: 3,
        ttl: 5,
        tokenTtl: 5,
      })
      t.deepEqual(violations, [])
      for (const kind of played.strikes.keys()) struck.add(kind)
    }
    const spared = faultKinds.filter(kind => !struck.has(kind))
    t.deepEqual(spared, nothingToStrike[recipe] ?? [])
  })

test.serial(
  'a recipe without tokens to forget, or without leases to end, is not said to be struck',
  async t => {
    const faults: readonly FaultKind[] = ['tokens-forgotten', 'lease-ends-at-deadline', 'key-deleted']
    const { played } = await run({ ...planOf(1, 'kv'), faults, seconds: 40, tokenTtl: 0 })
    t.deepEqual([...played.strikes], [])
  },
)

test('only where somebody has to sign in a plan has tokens to forget', t => {
  const plans = Array.from({ length: 500 }, (_, seed) => planOf(seed, 'mutex'))
  const forgetful = plans.filter(({ faults }) => faults.includes('tokens-forgotten'))
  t.true(forgetful.length > 5)
  t.true(forgetful.every(({ tokenTtl }) => tokenTtl > 0))
})

for (const { title, rest } of [
  { title: 'tokens that are not used for a second expire', rest: { tokenTtl: 1, faults: [], ttl: 15 } },
  { title: 'tokens are worth nothing any more', rest: { tokenTtl: 300, faults: ['tokens-forgotten'] } },
] as const)
  test.serial(`where ${title}, all sign in again and again, and have their locks all the same`, async t => {
    const plan = short(3, { ...rest, hostile: false, seconds: 40, members: 1, processes: 4 })
    const { played, violations } = await run(plan, { trace: true })
    t.deepEqual(violations, [])
    t.true(played.deeds > 20)
    const signedIn = played.trace.filter(line => line.includes('ask Authenticate')).length
    // Once would be enough for each of the five, the one that looks afterwards among them.
    t.true(signedIn > 15, String(signedIn))
  })

test.serial('a program that goes on believing after its loss is found out', async t => {
  const rules = new Set<string>()
  for (let seed = 1; seed <= 3; seed++) {
    const plan: Plan = {
      ...planOf(seed, 'careless'),
      faults: ['lease-revoked'],
      hostile: false,
    }
    for (const { rule } of (await run(plan)).violations) rules.add(rule)
  }
  t.true(rules.has('belief-beyond-ownership'), [...rules].join())
})

test.serial('a program that writes something else when it is played again is found out', async t => {
  const plan: Plan = { ...planOf(1, 'indeterminate'), faults: [], seconds: 10 }
  const { violations } = await run(plan, { twice: true })
  t.deepEqual(
    violations.map(({ rule }) => rule),
    ['not-deterministic'],
  )
})

test.serial('a recipe nobody knows is refused', async t => {
  await t.throwsAsync(run(planOf(1, 'unheard-of')), { message: /no such recipe to simulate: unheard-of/ })
})
