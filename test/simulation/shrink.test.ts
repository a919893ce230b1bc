import test from 'ava'
import { faultKinds, type Plan, planOf } from './plan.ts'
import { differences, shrink } from './shrink.ts'

const wild: Plan = {
  ...planOf(1, 'mutex'),
  faults: faultKinds,
  hostile: true,
  processes: 7,
  members: 3,
  lines: 3,
  seconds: 60,
  spikeChance: 0.05,
  drift: 0.009,
  inBatches: true,
  tokenTtl: 3,
}

test('a plan is made as simple as it can be and still fail', async t => {
  const simplest = await shrink(
    wild,
    async ({ faults, processes, seconds }) => faults.includes('cut') && processes >= 2 && seconds >= 10,
  )
  t.like(simplest, { faults: ['cut'], processes: 2, members: 1, lines: 1, hostile: false, tokenTtl: 0 })
  t.true(simplest.seconds >= 10 && simplest.seconds < 20)
})

test('two faults that are needed together both stay', async t => {
  const simplest = await shrink(
    wild,
    async ({ faults }) => faults.includes('one-way') && faults.includes('compaction'),
  )
  t.deepEqual(simplest.faults, ['one-way', 'compaction'])
})

test('a plan that cannot be made simpler stays as it is', async t => {
  t.is(await shrink(wild, async plan => plan === wild), wild)
})

test('no more plans are tried than the budget allows', async t => {
  let tried = 0
  await shrink(
    wild,
    async () => {
      tried += 1
      return true
    },
    7,
  )
  t.is(tried, 7)
})

test('what sets a plan apart from that of its seed is what has to be said to have it again', t => {
  const original = planOf(9, 'mutex')
  const plan = { ...original, faults: ['cut'], seconds: 12 } as const
  t.deepEqual(differences(original, plan), { faults: ['cut'], seconds: 12 })
  t.deepEqual({ ...original, ...differences(original, plan) }, plan)
  t.deepEqual(differences(original, original), {})
})
