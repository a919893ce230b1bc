import test from 'ava'
import { run } from './judge.ts'
import { faultKinds, type Plan, planOf } from './plan.ts'

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

test.serial('every fault strikes within a few seeds, and most of them often', async t => {
  const strikes = new Map<string, number>()
  for (let seed = 1; seed <= 3; seed++) {
    const { played, violations } = await run(
      short(seed, { faults: faultKinds, hostile: seed % 2 === 0, seconds: 40, members: 3, ttl: 5 }),
    )
    t.deepEqual(violations, [])
    for (const [kind, count] of played.strikes) strikes.set(kind, (strikes.get(kind) ?? 0) + count)
  }
  for (const kind of faultKinds) t.true((strikes.get(kind) ?? 0) > 0, kind)
})

for (const { title, rest } of [
  { title: 'tokens that are not used for a second expire', rest: { tokenTtl: 1, faults: [], ttl: 15 } },
  { title: 'tokens are worth nothing any more', rest: { tokenTtl: 300, faults: ['tokens-forgotten'] } },
] as const)
  test.serial(`where ${title}, all sign in again and again, and have their locks all the same`, async t => {
    const plan = short(3, { ...rest, hostile: false, seconds: 40, members: 1, processes: 4 })
    const { played, violations } = await run(plan, { trace: true })
    t.deepEqual(violations, [])
    t.true(played.acquisitions > 20)
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
