import test from 'ava'
import { Lane } from './lane.ts'
import { World } from './world.ts'

test('messages arrive in the order they were sent, whatever each of them takes', async t => {
  const { world, send, arrived } = scene(seed => seed % 7)
  for (let message = 0; message < 20; message++) send(message)
  await world.run(100)
  t.deepEqual(arrived, range(20))
})

test('a slow message holds up those behind it', async t => {
  const delays = [50, 1]
  const { world, send, arrived, at } = scene(() => delays.shift()!)
  send(0)
  send(1)
  await world.run(49)
  t.deepEqual(arrived, [])
  await world.run(60)
  t.deepEqual(arrived, [0, 1])
  t.true(at[1]! >= 50)
})

test('of a lane that is cut a prefix arrives, and nothing more', async t => {
  for (let kept = 0; kept <= 10; kept++) {
    const { world, send, arrived, lane } = scene(() => 10)
    for (let message = 0; message < 10; message++) send(message)
    lane.cut(kept)
    await world.run(100)
    t.deepEqual(arrived, range(kept))
  }
})

test('a hole in the road delays what is sent and loses nothing', async t => {
  const { world, send, arrived, lane, road, at } = scene(() => 10)
  send(0)
  road.isHoled = true
  lane.roadChanged()
  send(1)
  await world.run(5000)
  t.deepEqual(arrived, [])
  road.isHoled = false
  lane.roadChanged()
  send(2)
  await world.run(6000)
  t.deepEqual(arrived, [0, 1, 2])
  t.true(at[0]! >= 5010)
})

test('messages that come together reach their reader in one turn only where the road delivers in batches', async t => {
  for (const inBatches of [true, false]) {
    const { world, send, arrived, road } = scene(() => 10)
    road.inBatches = inBatches
    for (let message = 0; message < 5; message++) send(message)
    await world.run(20)
    t.deepEqual(arrived, range(5))
    t.is(world.turns, inBatches ? 1 : 5)
  }
})

function scene(delayOf: (message: number) => number) {
  const world = new World(3)
  let sent = 0
  const road = { isHoled: false, inBatches: false, delayMs: () => delayOf(sent++) }
  const lane = new Lane(world, road, (_, action) => action())
  const arrived: number[] = []
  const at: number[] = []
  const send = (message: number) =>
    lane.send('message', () => {
      arrived.push(message)
      at.push(world.nowMs)
    })
  return { world, road, lane, send, arrived, at }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}
