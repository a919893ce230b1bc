import test from 'ava'
import { type GoingOn, SimulatedProcess } from './simulated-process.ts'
import { World } from './world.ts'

test('blocked in its own code, that runs first, then the timers that are due, then what arrived', async t => {
  const order = await orderAfterStall({})
  t.deepEqual(order, ['own code', 'early timer', 'late timer', 'first arrival', 'second arrival'])
})

test('blocked in a callback of what arrived, the rest of that runs before the timers that are due', async t => {
  t.deepEqual(await orderAfterStall({ arrivalsFirst: 1 }), [
    'own code',
    'first arrival',
    'second arrival',
    'early timer',
    'late timer',
  ])
  t.deepEqual(await orderAfterStall({ arrivalsFirst: 0.5 }), [
    'own code',
    'first arrival',
    'early timer',
    'late timer',
    'second arrival',
  ])
})

test('blocked in a callback that is none of its own code, that looks around only after what arrived with it', async t => {
  const order = await orderAfterStall({ arrivalsFirst: 0.5, looksFirst: false })
  t.deepEqual(order, ['first arrival', 'own code', 'early timer', 'late timer', 'second arrival'])
})

test('who crashes over what arrived before it has looked around is said to have come to the end of that', async t => {
  const { world, process } = scene()
  process.standStill()
  process.receive('message', () => process.crash())
  process.onGoingOn(() => t.fail('own code'))
  let told = 0
  process.goOn({ arrivalsFirst: 1, looksFirst: false, beforeTimers: () => told++ })
  t.is(told, 0)
  await world.run(1)
  t.true(process.isCrashed)
  t.is(told, 1)
})

test('of what arrived by one connection while a process stood still all is read at once', async t => {
  const { world, process } = scene()
  const [one, other] = [{}, {}]
  const order: string[] = []
  const arrive = (name: string, from: object) =>
    process.receive(
      name,
      () => {
        order.push(name)
        void Promise.resolve().then(() => order.push(`${name} settled`))
      },
      from,
    )
  process.standStill()
  arrive('a', one)
  arrive('b', one)
  arrive('c', other)
  process.goOn()
  await world.run(1)
  t.deepEqual(order, ['a', 'b', 'a settled', 'b settled', 'c', 'c settled'])
})

/** Everything that can be waiting: code of its own, timers and messages. */
async function orderAfterStall(how: GoingOn): Promise<readonly string[]> {
  const { world, process } = scene()
  const order: string[] = []
  process.onGoingOn(() => order.push('own code'))
  process.setTimer(20, () => order.push('late timer'))
  process.setTimer(10, () => order.push('early timer'))
  world.at(5, 'stall', () => process.standStill())
  world.at(7, 'arrive', () => process.receive('message', () => order.push('first arrival')))
  world.at(25, 'arrive', () => process.receive('message', () => order.push('second arrival')))
  let before: readonly string[] = ['not told']
  world.at(100, 'go on', () =>
    process.goOn({
      ...how,
      beforeTimers: () => {
        before = [...order]
      },
    }),
  )
  await world.run(200)
  // By then its own code has looked, and no timer has fired.
  const [looked, fired] = [before.includes('own code'), before.some(name => name.endsWith('timer'))]
  if (!looked || fired) throw new Error(`before the timers: ${before.join()}`)
  return order
}

test('what comes while a process catches up waits until it has', async t => {
  const { world, process } = scene()
  const order: string[] = []
  world.at(1, 'stall', () => process.standStill())
  world.at(2, 'arrive', () => process.receive('message', () => order.push('during the stall')))
  world.at(3, 'go on', () => {
    process.goOn()
    process.receive('message', () => order.push('after it'))
  })
  await world.run(10)
  t.deepEqual(order, ['during the stall', 'after it'])
})

test('nothing of a process that is stopped runs, and time goes on for it', async t => {
  const { world, process } = scene()
  let ran = 0
  process.setTimer(10, () => ran++)
  process.standStill()
  process.receive('message', () => ran++)
  process.defer(() => ran++)
  const before = process.now()
  await world.run(1000)
  t.is(ran, 0)
  t.is(Math.round(process.now() - before), 1000)
  process.goOn()
  await world.run(1001)
  t.is(ran, 3)
})

test('nothing of a process that crashed runs ever again, and it sends no more', async t => {
  const { world, process } = scene()
  process.setTimer(10, () => t.fail('a timer'))
  process.receive('message', () => {})
  process.crash()
  process.receive('message', () => t.fail('an arrival'))
  process.defer(() => t.fail('a deferred action'))
  await world.run(100)
  t.false(process.sends())
  t.is(process.pendingTimers, 0)
})

test('a process that crashes sending sends that message, and none after it', async t => {
  const { process } = scene()
  process.crashAfterSends(3)
  t.deepEqual([process.sends(), process.sends(), process.sends(), process.sends()], [true, true, true, false])
  t.true(process.isCrashed)
})

test('while its machine sleeps the monotonic clock stands still, and boot and wall time do not', async t => {
  const { world, process } = scene()
  const fired: number[] = []
  process.setTimer(100, () => fired.push(world.nowMs))
  await world.run(50)
  const [mono, boot, wall] = [process.now(), process.bootNow(), process.wallNow()]
  const wake = process.sleep()
  world.at(5050, 'wake', wake)
  await world.run(5050 + 1)
  t.true(process.now() - mono < 2)
  t.true(process.bootNow() - boot >= 5000)
  t.true(process.wallNow() - wall >= 4999)
  t.deepEqual(fired, [])
  await world.run(6000)
  // The timer had 50 ms to go when the machine fell asleep, and had them still when it woke.
  t.is(Math.floor(fired[0]!), 5100)
})

test('a clock that gains time has its timers ring early by true time, and never early by its own', async t => {
  const world = new World(1)
  const process = new SimulatedProcess(world, { name: 'p1', clockRate: 1.01 })
  const start = process.now()
  let rang: { own: number; world: number } | undefined
  process.setTimer(1000, () => {
    rang = { own: process.now() - start, world: world.nowMs }
  })
  await world.run(2000)
  t.true(rang!.own >= 1000)
  t.true(rang!.world < 991)
})

function scene() {
  const world = new World(5)
  return { world, process: new SimulatedProcess(world, { name: 'p1', clockRate: 1 }) }
}
