import test from 'ava'
import { compare } from '../../src/client/compare.ts'
import { prefix } from '../../src/client/key-range.ts'
import { KeySpace } from '../../src/client/key-space.ts'
import { checkTxn, type Op, op, stepsOf, txnRequest, txnResult } from '../../src/client/op.ts'
import { text, toBytes } from '../../src/wire/bytes.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import { TxnRequest, TxnResponse } from '../../src/wire/gen/rpc.g.ts'

const SPACE = new KeySpace(toBytes('ns/'))

test('a step knows whether it writes, nested ones too', t => {
  t.false(op.get('k').writes)
  t.false(op.range(prefix('k')).writes)
  t.true(op.put('k', 'v').writes)
  t.true(op.delete('k').writes)
  t.false(op.txn({ then: [op.get('k')] }).writes)
  t.true(op.txn({ else: [op.txn({ then: [op.delete('k')] })] }).writes)
})

test('every key of a transaction lies in its namespace', t => {
  const wire = TxnRequest.decode(
    TxnRequest.encode(
      txnRequest(
        {
          if: [compare('c').version.equals(0n)],
          then: [op.put('p', 'v'), op.delete(prefix('d'))],
          else: [op.get('g'), op.txn({ if: [compare('n').lease.equals(0n)], then: [op.get('i')] })],
        },
        SPACE,
      ),
    ),
  )
  const keys: string[] = []
  const collect = (request: TxnRequest): void => {
    for (const { key } of request.compare) keys.push(text(key))
    for (const { request: step } of [...request.success, ...request.failure]) {
      if (step?.kind === 'txn') collect(step.value)
      else if (step !== undefined) keys.push(text(step.value.key))
    }
  }
  collect(wire)
  t.deepEqual(keys, ['ns/c', 'ns/p', 'ns/d', 'ns/g', 'ns/n', 'ns/i'])
})

test('answers come in the types of their steps, at the revision of the whole, keys as the namespace knows them', t => {
  const spec = { then: [op.get('k'), op.txn({ else: [op.put('p', 'v', { previous: true })] })] } as const
  const kv = (key: string) => ({ key: toBytes(key), value: toBytes('old') })
  const response = TxnResponse.decode(
    TxnResponse.encode({
      succeeded: true,
      responses: [
        { response: { kind: 'range', value: { kvs: [kv('ns/k')], count: 1n } } },
        {
          response: {
            kind: 'txn',
            value: {
              succeeded: false,
              responses: [{ response: { kind: 'put', value: { prevKv: kv('ns/p') } } }],
            },
          },
        },
      ],
    }),
  )
  const result = txnResult(spec, response, 9n, SPACE)
  if (!result.succeeded) return t.fail()
  const [got, nested] = result.results
  t.is(got?.name(), 'k')
  t.is(nested.revision, 9n)
  if (nested.succeeded) return t.fail()
  t.is(nested.results[0].previous?.name(), 'p')
  t.is(nested.results[0].revision, 9n)
  t.is(result.responses, result.results)
})

test('an answer to another question is not understood', t => {
  const response = TxnResponse.decode(
    TxnResponse.encode({ succeeded: true, responses: [{ response: { kind: 'put', value: {} } }] }),
  )
  const error = t.throws(() => txnResult({ then: [op.get('k')] }, response, 1n, SPACE))
  t.true(EtcdError.is(error, 'PROTOCOL'))
  const short = TxnResponse.decode(TxnResponse.encode({ succeeded: true }))
  t.true(
    EtcdError.is(
      t.throws(() => txnResult({ then: [op.get('k')] }, short, 1n, SPACE)),
      'PROTOCOL',
    ),
  )
})

const wrongTransactions: readonly [what: string, spec: unknown][] = [
  ['nothing', undefined],
  ['null', null],
  ['a list', [op.get('k')]],
  ['an unknown part', { when: [] }],
  ['a part that is no list', { then: op.get('k') }],
  ['a condition that is none', { if: [op.get('k')] }],
  ['an unfinished condition', { if: [compare('k')] }],
  ['a step that is none', { then: ['k'] }],
  ['an empty step', { then: [undefined] }],
  ['a write beside a read of the past', { then: [op.put('a', '1'), op.get('b', { revision: 5n })] }],
  [
    'a write beside a nested read of the past',
    { then: [op.put('a', '1'), op.txn({ else: [op.get('b', { revision: 5n })] })] },
  ],
  [
    'a write in one half and a read of the past in the other',
    { then: [op.put('a', '1')], else: [op.get('b', { revision: 5n })] },
  ],
]

for (const [what, spec] of wrongTransactions) {
  test(`a transaction refuses ${what}`, t => {
    t.throws(() => checkTxn(spec as { then: Op[] }), { instanceOf: TypeError })
  })
}

test('an empty transaction is one', t => {
  t.notThrows(() => checkTxn({}))
  t.deepEqual(stepsOf({}), [])
})

const wrongSteps: readonly [what: string, make: () => unknown, kind: typeof TypeError | typeof RangeError][] =
  [
    ['an empty key', () => op.get(''), RangeError],
    ['a key of a wrong type', () => op.put(7 as unknown as string, 'v'), TypeError],
    ['no value', () => op.put('k', undefined as unknown as string), TypeError],
    ['an unknown option of a put', () => op.put('k', 'v', { ttl: 5 } as object), TypeError],
    ['a lease that is no bigint', () => op.put('k', 'v', { lease: 5 as unknown as bigint }), TypeError],
    ['a kept value together with one', () => op.put('k', 'v', { keep: 'value' }), TypeError],
    ['a kept lease together with one', () => op.put('k', 'v', { keep: 'lease', lease: 5n }), TypeError],
    ['to keep anything else', () => op.put('k', '', { keep: 'all' as 'value' }), TypeError],
    ['an unknown option of a delete', () => op.delete('k', { limit: 5 } as object), TypeError],
    ['an unknown option of a get', () => op.get('k', { limit: 5 } as object), TypeError],
    ['half a surrogate pair', () => op.get('\ud800'), TypeError],
  ]

for (const [what, make, instanceOf] of wrongSteps) {
  test(`a step refuses ${what}`, t => {
    t.throws(make, { instanceOf })
  })
}

test('what becomes of the array of a value after its step was made changes nothing', t => {
  const scratch = toBytes('first')
  const step = op.put('k', scratch)
  scratch.fill(0)
  const sent = step.wire(KeySpace.whole).request
  t.deepEqual(sent?.kind === 'put' && sent.value.value, toBytes('first'))
})

test('what becomes of the options of a step after it was made changes nothing', t => {
  const options = { previous: true }
  const step = op.delete('k', options)
  options.previous = false
  const sent = step.wire(KeySpace.whole).request
  t.is(sent?.kind === 'deleteRange' && sent.value.prevKv, true)
})

test('what becomes of the lists of a transaction after it was checked changes nothing', t => {
  const lists = { if: [compare('k').version.equals(0n)], then: [op.get('a')], else: [op.get('b')] }
  const whole = checkTxn(lists)
  const nested = op.txn(lists)
  for (const list of [lists.if, lists.then, lists.else]) list.length = 0
  const wire = txnRequest(whole, KeySpace.whole)
  t.deepEqual([wire.compare?.length, wire.success?.length, wire.failure?.length], [1, 1, 1])
  const sent = nested.wire(KeySpace.whole).request
  t.is(sent?.kind === 'txn' && sent.value.success?.length, 1)
})

test('a gap in a list is no condition and no step', t => {
  const gap = new Array(1)
  t.throws(() => checkTxn({ if: gap }), { instanceOf: TypeError })
  t.throws(() => checkTxn({ then: gap }), { instanceOf: TypeError })
})
