import test from 'ava'
import { SlotKeys } from '../../recipes/internal/semaphore/slot-keys.ts'
import { KeySpace } from '../../src/client/key-space.ts'
import { compareBytes, text, toBytes } from '../../src/wire/bytes.ts'

const keys = new SlotKeys(KeySpace.whole, toBytes('a'))

test('keys of slots are in the order of their numbers, below one prefix', t => {
  t.is(text(keys.slot(7)), 'a/s/0007')
  for (const [one, other] of [
    [9, 10],
    [99, 100],
    [999, 1000],
    [9998, 9999],
  ] as const)
    t.true(compareBytes(keys.slot(one), keys.slot(other)) < 0)
  t.true(compareBytes(keys.slot(9999), keys.slotsEnd) < 0)
  t.true(compareBytes(keys.limit, keys.slots) < 0)
})

test('only four digits behind the prefix are a slot', t => {
  t.is(keys.numberOf(keys.slot(42)), 42)
  for (const key of ['a/s/12', 'a/s/00012', 'a/s/00a2', 'a/s/', 'a/m/0001', 'a/limit', 'b/s/0001'])
    t.is(keys.numberOf(toBytes(key)), undefined)
  t.deepEqual(keys.numbersOf([{ key: keys.limit }, { key: keys.slot(3) }]), [3])
})
