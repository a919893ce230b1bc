import test from 'ava'
import { freeSlots, SlotMemory } from '../../recipes/internal/semaphore/slot-memory.ts'

test('the lowest that look free are asked for first, sixteen at once', t => {
  const memory = new SlotMemory()
  t.deepEqual(memory.alternatives(1, 3), [[0], [1], [2]])
  t.is(memory.alternatives(1, 100).length, 16)
  memory.taken([0, 2])
  t.deepEqual(memory.alternatives(1, 3), [[1], [0], [2]])
  memory.seen(Array.from({ length: 90 }, (_, slot) => slot))
  t.deepEqual(memory.alternatives(1, 100).slice(0, 11).flat(), [90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 0])
  memory.released([7])
  t.deepEqual(memory.alternatives(1, 100)[0], [7])
})

test('several are asked for in one way, in ascending order', t => {
  const memory = new SlotMemory()
  memory.seen([1])
  t.deepEqual(memory.alternatives(2, 4), [[0, 2]])
  t.deepEqual(memory.alternatives(4, 4), [[0, 1, 2, 3]])
})

test('there is room only as long as all that are held, with those wanted, are within the limit', t => {
  t.deepEqual(freeSlots([1, 3], 4, 2), [0, 2])
  t.is(freeSlots([1, 3], 4, 3), undefined)
  t.is(freeSlots([4, 7], 2, 1), undefined)
  t.deepEqual(freeSlots([7], 2, 1), [0])
  t.deepEqual(freeSlots([], 1, 1), [0])
})
