import test from 'ava'
import fc from 'fast-check'
import { OrderedIndex } from '../../src/embedded/ordered-index.ts'

const name = fc.string({ unit: fc.constantFrom('a', 'b', '\0', '\xff'), maxLength: 4 })

function visited(index: OrderedIndex<{ name: string }>, start: string, end: string | undefined): string[] {
  const names: string[] = []
  index.visit(start, end, value => names.push(value.name) > 0)
  return names
}

test('it holds what was added and not removed, in order, as a sorted set does', t => {
  const step = fc.record({ add: fc.boolean(), name })
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 300 }),
      name,
      fc.option(name, { nil: undefined }),
      (steps, start, end) => {
        const index = new OrderedIndex<{ name: string }>()
        const model = new Set<string>()
        for (const { add, name } of steps) {
          if (add && !model.has(name)) index.add({ name })
          if (!add) index.remove(name)
          if (add) model.add(name)
          else model.delete(name)
        }
        const expected = [...model].sort().filter(one => one >= start && (end === undefined || one < end))
        t.deepEqual(visited(index, start, end), expected)
        t.is(index.count(start, end), expected.length)
        t.is(index.size, model.size)
      },
    ),
  )
})

test('order survives the splitting and the emptying of blocks', t => {
  const index = new OrderedIndex<{ name: string }>()
  const names = Array.from({ length: 5000 }, (_, at) => String((at * 7919) % 5000).padStart(4, '0'))
  for (const name of names) index.add({ name })
  t.deepEqual(visited(index, '', undefined), [...names].sort())
  t.is(index.count('1000', '3000'), 2000)
  for (const name of names) if (name >= '0500' && name < '4500') index.remove(name)
  t.deepEqual(
    visited(index, '', undefined),
    [...names].sort().filter(name => name < '0500' || name >= '4500'),
  )
  t.is(index.count('0000', '4500'), 500)
})

test('a visit ends when the visitor has seen enough', t => {
  const index = new OrderedIndex<{ name: string }>()
  for (const name of ['a', 'b', 'c']) index.add({ name })
  const seen: string[] = []
  index.visit('a', undefined, value => seen.push(value.name) < 2)
  t.deepEqual(seen, ['a', 'b'])
})
