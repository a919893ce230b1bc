import test from 'ava'
import { World } from './world.ts'

test('what is due earlier happens earlier, in whatever order it was asked for', async t => {
  const world = new World(1)
  const order: string[] = []
  world.at(30, 'c', () => order.push(`c at ${Math.floor(world.nowMs)}`))
  world.at(10, 'a', () => order.push(`a at ${Math.floor(world.nowMs)}`))
  world.at(20, 'b', () => order.push(`b at ${Math.floor(world.nowMs)}`))
  await world.run(25)
  t.deepEqual(order, ['a at 10', 'b at 20'])
  t.is(world.nowMs, 25)
  await world.run(Infinity)
  t.deepEqual(order.at(-1), 'c at 30')
})

test('all promises settle before the next thing happens', async t => {
  const world = new World(1)
  const order: string[] = []
  world.at(1, 'first', () => {
    void (async () => {
      for (let step = 0; step < 50; step++) await undefined
      order.push('settled')
    })()
  })
  world.at(1.001, 'second', () => order.push('second'))
  await world.run(2)
  t.deepEqual(order, ['settled', 'second'])
})

test('what is due at one instant happens in an order that the seed decides', async t => {
  const orders = new Set<string>()
  for (let seed = 1; seed <= 40; seed++) {
    const [once, again] = [await orderOf(seed), await orderOf(seed)]
    t.is(once, again)
    orders.add(once)
  }
  t.is(orders.size, 6)
})

test('what is called off does not happen', async t => {
  const world = new World(1)
  const scheduled = world.at(5, 'never', () => t.fail())
  world.at(4, 'call off', () => scheduled.cancel())
  await world.run(10)
  t.is(world.turns, 1)
})

test('two orders of happenings differ in their hash by any bit of an instant, and by any letter of what happened', async t => {
  const hashes = new Set<string>()
  for (const [atMs, what] of [
    [1, 'answer Put'],
    [1 + 2 ** -40, 'answer Put'],
    [1, 'answer Txn'],
    [1, 'answer Pu'],
  ] as const)
    hashes.add(await hashOf(atMs, what))
  t.is(hashes.size, 4)
  t.is(await hashOf(1, 'answer Put'), await hashOf(1, 'answer Put'))
})

async function hashOf(atMs: number, what: string): Promise<string> {
  const world = new World(1)
  world.at(atMs, what, () => {})
  await world.run(10)
  return world.hash
}

async function orderOf(seed: number): Promise<string> {
  const world = new World(seed)
  const order: string[] = []
  for (const name of ['a', 'b', 'c']) world.at(7, name, () => order.push(name))
  await world.run(8)
  return order.join('')
}
