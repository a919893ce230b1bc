import test from 'ava'
import { text, toBytes } from '../../src/wire/bytes.ts'
import type { Init } from '../../src/wire/codec.ts'
import type { TxnRequest } from '../../src/wire/gen/rpc.g.ts'
import { CompareResult, CompareTarget } from '../../src/wire/gen/rpc.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { startDirect } from './direct.ts'

type Op = NonNullable<Init<TxnRequest>['success']>[number]
type Compare = NonNullable<Init<TxnRequest>['compare']>[number]

const put = (key: string, value = 'v', options = {}): Op => ({
  request: { kind: 'put', value: { key: toBytes(key), value: toBytes(value), ...options } },
})
const remove = (key: string, rangeEnd = ''): Op => ({
  request: { kind: 'deleteRange', value: { key: toBytes(key), rangeEnd: toBytes(rangeEnd) } },
})
const read = (key: string, rangeEnd = '', options = {}): Op => ({
  request: { kind: 'range', value: { key: toBytes(key), rangeEnd: toBytes(rangeEnd), ...options } },
})
const nested = (success: Op[], failure: Op[] = [], compare: Compare[] = []): Op => ({
  request: { kind: 'txn', value: { compare, success, failure } },
})
const created = (
  key: string,
  value: bigint,
  rangeEnd = '',
  result: CompareResult = CompareResult.equal,
): Compare => ({
  key: toBytes(key),
  rangeEnd: toBytes(rangeEnd),
  result,
  target: CompareTarget.createRevision,
  operand: { kind: 'createRevision', value },
})

async function setUp() {
  const { caller } = await startDirect()
  const txn = (request: Init<TxnRequest>) => caller.call(methods.txn, request)
  const value = async (key: string) => {
    const { kvs } = await caller.call(methods.range, { key: toBytes(key) })
    return kvs[0] === undefined ? undefined : text(kvs[0].value)
  }
  return { caller, txn, value }
}

test('compares see the state before the transaction, nested ones too', async t => {
  const { txn } = await setUp()
  const { succeeded, responses } = await txn({
    compare: [created('a', 0n)],
    success: [put('a'), nested([put('b', 'absent')], [put('b', 'present')], [created('a', 0n)])],
  })
  t.true(succeeded)
  const [, inner] = responses
  t.true(inner?.response?.kind === 'txn' && inner.response.value.succeeded)
})

test('reads see what the transaction wrote before them', async t => {
  const { txn } = await setUp()
  await txn({ success: [put('x')] })
  const { responses, header } = await txn({
    success: [read('a', 'z'), put('a'), put('b'), read('a', 'z'), remove('x'), read('a', 'z')],
  })
  const counts = responses.flatMap(({ response }) => (response?.kind === 'range' ? [response.value] : []))
  t.deepEqual(
    counts.map(answer => answer.count),
    [1n, 3n, 2n],
  )
  t.deepEqual(
    counts.map(answer => answer.header?.revision),
    [2n, 3n, 3n],
  )
  t.is(header?.revision, 3n)
})

test('a range compare holds when every key satisfies it, and an empty range is a key that does not exist', async t => {
  const { caller, txn } = await setUp()
  t.true((await txn({ compare: [created('p/', 0n, 'p0')] })).succeeded)
  await caller.call(methods.put, { key: toBytes('p/1') })
  await caller.call(methods.put, { key: toBytes('p/2') })
  t.false((await txn({ compare: [created('p/', 0n, 'p0')] })).succeeded)
  t.true((await txn({ compare: [created('p/', 4n, 'p0', CompareResult.less)] })).succeeded)
  t.false((await txn({ compare: [created('p/', 3n, 'p0', CompareResult.less)] })).succeeded)
})

test('a value compare of a key that does not exist is false either way', async t => {
  const { txn } = await setUp()
  for (const result of [CompareResult.equal, CompareResult.notEqual]) {
    const compare: Compare = {
      key: toBytes('a'),
      result,
      target: CompareTarget.value,
      operand: { kind: 'value', value: toBytes('') },
    }
    t.false((await txn({ compare: [compare] })).succeeded)
  }
})

test('a refused transaction leaves no trace', async t => {
  const { txn, value } = await setUp()
  await t.throwsAsync(txn({ success: [put('a'), put('b', 'v', { lease: 99n })] }), {
    message: 'etcdserver: requested lease not found',
  })
  await t.throwsAsync(txn({ success: [put('a'), nested([read('b', '', { revision: 50n })])] }), {
    message: 'etcdserver: mvcc: required revision is a future revision',
  })
  await t.throwsAsync(txn({ success: [put('a'), put('b', '', { ignoreValue: true })] }), {
    message: 'etcdserver: key not found',
  })
  t.is(await value('a'), undefined)
})

test('only the branch that is taken is checked against what is stored', async t => {
  const { txn } = await setUp()
  t.true((await txn({ success: [put('a')], failure: [put('b', 'v', { lease: 99n })] })).succeeded)
})

test('a branch that puts a key twice, or puts and deletes it, is refused', async t => {
  const { txn } = await setUp()
  const duplicate = { message: 'etcdserver: duplicate key given in txn request' }
  await t.throwsAsync(txn({ success: [put('a'), put('a')] }), duplicate)
  await t.throwsAsync(txn({ failure: [put('a'), put('a')] }), duplicate)
  await t.throwsAsync(txn({ success: [remove('a', 'c'), put('b')] }), duplicate)
  await t.throwsAsync(txn({ success: [put('b'), nested([], [put('b')])] }), duplicate)
  await t.throwsAsync(txn({ success: [nested([remove('b')]), put('b')] }), duplicate)
  await t.throwsAsync(txn({ success: [nested([put('a')]), nested([put('a')])] }), duplicate)
  await t.notThrowsAsync(txn({ success: [put('a')], failure: [put('a')] }))
  await t.notThrowsAsync(txn({ success: [nested([put('a')], [put('a')])] }))
  await t.notThrowsAsync(txn({ success: [remove('a', 'b'), put('b')] }))
})

test('what etcd lets through changes one key twice in one revision, and both are told', async t => {
  const { caller, txn, value } = await setUp()
  const { header } = await txn({ success: [nested([put('x', '1')]), nested([remove('x')])] })
  t.is(await value('x'), undefined)
  const watch = caller.stream(methods.watch)
  watch.send({ request: { kind: 'create', value: { key: toBytes('x'), startRevision: header!.revision } } })
  await caller.call(methods.range, { key: toBytes('x') })
  await caller.call(methods.range, { key: toBytes('x') })
  t.deepEqual(
    watch.received.flatMap(({ events }) => events.map(event => event.type)),
    [0, 1],
  )
})

test('a level has as many operations as those around it left', async t => {
  const { txn } = await setUp()
  const ops = (count: number) => Array.from({ length: count }, (_, at) => read(`k${at}`))
  const tooMany = { message: 'etcdserver: too many operations in txn request' }
  await t.notThrowsAsync(txn({ success: ops(128) }))
  await t.throwsAsync(txn({ success: ops(129) }), tooMany)
  await t.throwsAsync(txn({ compare: Array.from({ length: 129 }, () => created('a', 0n)) }), tooMany)
  await t.notThrowsAsync(txn({ success: [nested(ops(127))] }))
  await t.throwsAsync(txn({ success: [nested(ops(128))] }), tooMany)
  await t.notThrowsAsync(txn({ success: [nested(ops(100)), nested(ops(100)), nested(ops(100))] }))
})

test('a transaction without writes makes no revision', async t => {
  const { txn } = await setUp()
  t.is((await txn({ success: [remove('nothing')] })).header?.revision, 1n)
  t.is((await txn({ success: [read('nothing')] })).header?.revision, 1n)
})
