import test from 'ava'
import { Compare, compare, createdAt } from '../../src/client/compare.ts'
import { everything, prefix } from '../../src/client/key-range.ts'
import { KeySpace } from '../../src/client/key-space.ts'
import { text, toBytes } from '../../src/wire/bytes.ts'
import { CompareResult, CompareTarget } from '../../src/wire/gen/rpc.g.ts'

const targets = ['version', 'createRevision', 'modRevision', 'lease'] as const
const relations = [
  ['equals', CompareResult.equal],
  ['notEquals', CompareResult.notEqual],
  ['greaterThan', CompareResult.greater],
  ['lessThan', CompareResult.less],
] as const

for (const target of targets) {
  test(`${target} is compared in four ways, with what it is named after`, t => {
    for (const [relation, result] of relations) {
      const [wire] = compare('k')[target][relation](5n).wire(KeySpace.whole)
      t.deepEqual(wire, {
        key: toBytes('k'),
        rangeEnd: new Uint8Array(0),
        target: CompareTarget[target],
        result,
        operand: { kind: target, value: 5n },
      })
    }
  })
}

test('values are compared in four ways, as bytes', t => {
  for (const [relation, result] of relations) {
    const [wire] = compare('k').value[relation]('v').wire(KeySpace.whole)
    t.like(wire, { target: CompareTarget.value, result, operand: { kind: 'value' } })
    t.deepEqual(wire?.operand?.value, toBytes('v'))
  }
})

test('a comparison holds for a range', t => {
  const [wire] = compare(prefix('a/')).version.equals(0n).wire(KeySpace.whole)
  t.is(text(wire?.key as Uint8Array), 'a/')
  t.is(text(wire?.rangeEnd as Uint8Array), 'a0')
})

test('a namespace moves what is compared, but not a key named as etcd has it', t => {
  const space = new KeySpace(toBytes('ns/'))
  t.is(text(compare('k').lease.equals(0n).wire(space)[0]?.key as Uint8Array), 'ns/k')
  t.is(text(createdAt(toBytes('k'), 5n).wire(space)[0]?.key as Uint8Array), 'k')
  const [all] = compare(everything).version.equals(0n).wire(space)
  t.is(text(all?.rangeEnd as Uint8Array), 'ns0')
})

test('several conditions travel as several, in order', t => {
  const both = new Compare([
    ...(['a', 'b'] as const).map(name => ({
      range: prefix(name),
      absolute: false,
      target: 'version' as const,
      relation: 'equals' as const,
      operand: 0n,
    })),
  ])
  t.deepEqual(
    both.wire(KeySpace.whole).map(({ key }) => text(key as Uint8Array)),
    ['a', 'b'],
  )
})

test('what no key can be compared with is refused', t => {
  t.throws(() => compare(''), { instanceOf: RangeError })
  t.throws(() => compare(7 as unknown as string), { instanceOf: TypeError })
  t.throws(() => compare('k').version.equals(1 as unknown as bigint), { instanceOf: TypeError })
  t.throws(() => compare('k').modRevision.lessThan(-1n), { instanceOf: RangeError })
  t.throws(() => compare('k').value.equals(undefined as unknown as string), { instanceOf: TypeError })
})

test('what becomes of the array of a value after it was compared with changes nothing', t => {
  const scratch = toBytes('first')
  const same = compare('k').value.equals(scratch)
  scratch.fill(0)
  t.deepEqual(same.wire(KeySpace.whole)[0]?.operand?.value, toBytes('first'))
})
