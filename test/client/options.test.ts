import test from 'ava'
import { checkCall } from '../../src/client/kv.ts'
import { rangeFields } from '../../src/client/range.ts'
import {
  checkInteger,
  checkOneOf,
  checkOptions,
  checkRevision,
  checkSignal,
} from '../../src/support/options.ts'

test('an option nobody reads is named, with those that are read', t => {
  const error = t.throws(() => checkOptions({ limt: 1 }, ['limit', 'sort'], 'range'), {
    instanceOf: TypeError,
  })
  t.is(error.message, "range: unknown option 'limt'; it takes limit, sort")
  t.notThrows(() => checkOptions(undefined, [], 'range'))
  t.throws(() => checkOptions(null, [], 'range'), { instanceOf: TypeError })
})

test('an integer is a safe one within its bounds', t => {
  t.is(checkInteger(1, 'n', { min: 1 }), 1)
  for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])
    t.throws(() => checkInteger(value, 'n', { min: 1 }), { instanceOf: RangeError }, String(value))
  t.throws(() => checkInteger(11, 'n', { min: 1, max: 10 }), { instanceOf: RangeError })
  for (const value of ['1', 1n, null, {}])
    t.throws(() => checkInteger(value, 'n', { min: 1 }), { instanceOf: TypeError })
})

test('a revision is a bigint that fits 63 bits', t => {
  t.is(checkRevision(0n, 'revision'), 0n)
  t.is(checkRevision(2n ** 63n - 1n, 'revision'), 2n ** 63n - 1n)
  for (const value of [-1n, 2n ** 63n])
    t.throws(() => checkRevision(value, 'revision'), { instanceOf: RangeError })
  for (const value of [1, '1', undefined])
    t.throws(() => checkRevision(value, 'revision'), { instanceOf: TypeError })
})

test('one of several words is one of them', t => {
  t.is(checkOneOf('a', ['a', 'b'], 'word'), 'a')
  t.throws(() => checkOneOf('c', ['a', 'b'], 'word'), {
    instanceOf: TypeError,
    message: /one of a, b, got "c"/,
  })
})

test('a signal is an AbortSignal', t => {
  t.notThrows(() => checkSignal(new AbortController().signal, 'x'))
  t.throws(() => checkSignal(new AbortController() as unknown, 'x'), { instanceOf: TypeError })
})

test('every call takes a signal and a timeout, and checks them', t => {
  t.notThrows(() => checkCall({ signal: AbortSignal.abort(), timeoutMs: 1 }, [], 'call'))
  t.throws(() => checkCall({ timeoutMs: 0 }, [], 'call'), { instanceOf: RangeError })
  t.throws(() => checkCall({ timeoutMs: '5' as unknown as number }, [], 'call'), { instanceOf: TypeError })
  t.throws(() => checkCall({ timeout: 5 } as object, [], 'call'), { instanceOf: TypeError })
})

test('an order that is the order of the store is not asked for', t => {
  t.is(rangeFields({ sort: { by: 'key', order: 'ascending' } }).sortOrder, undefined)
  t.is(rangeFields({ sort: { by: 'key', order: 'descending' } }).sortOrder, 2)
  t.like(rangeFields({ sort: { by: 'value', order: 'ascending' } }), { sortOrder: 1, sortTarget: 4 })
})

const wrongReads: readonly [what: string, options: object, kind: typeof TypeError | typeof RangeError][] = [
  ['a negative limit', { limit: -1 }, RangeError],
  ['a limit with a fraction', { limit: 1.5 }, RangeError],
  ['a limit of a wrong type', { limit: 5n }, TypeError],
  ['revision zero', { revision: 0n }, RangeError],
  ['a revision of a wrong type', { revision: 5 }, TypeError],
  ['an unknown order', { sort: { by: 'key', order: 'up' } }, TypeError],
  ['an unknown target', { sort: { by: 'size', order: 'ascending' } }, TypeError],
  ['an unknown option within sort', { sort: { by: 'key', order: 'ascending', limit: 1 } }, TypeError],
  ['a sort of a wrong type', { sort: 'key' }, TypeError],
  ['an unknown consistency', { consistency: 'eventual' }, TypeError],
  ['an unknown selection', { only: 'values' }, TypeError],
  ['a bound of a wrong type', { minModRevision: 5 }, TypeError],
  ['a negative bound', { maxCreateRevision: -5n }, RangeError],
]

for (const [what, options, instanceOf] of wrongReads) {
  test(`a read refuses ${what}`, t => {
    t.throws(() => rangeFields(options), { instanceOf })
  })
}
