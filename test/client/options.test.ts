import test from 'ava'
import { compare } from '../../src/client/compare.ts'
import { between, prefix } from '../../src/client/key-range.ts'
import { checkCall } from '../../src/client/kv.ts'
import { op } from '../../src/client/op.ts'
import { rangeFields } from '../../src/client/range.ts'
import { connect } from '../../src/facade/connect.ts'
import type { Etcd } from '../../src/facade/etcd.ts'
import {
  checkInteger,
  checkOneOf,
  checkOptions,
  checkRevision,
  checkSignal,
} from '../../src/support/options.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { FakeTransport } from '../support/fake-transport.ts'

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

/** Wrong on purpose: what no type would let through. */
// biome-ignore lint/suspicious/noExplicitAny: the point of the table
type Wrong = any

const HALF = '\ud800'

const wrongCalls: readonly [what: string, call: (etcd: Wrong) => unknown][] = [
  ['get without a key', etcd => etcd.get()],
  ['get of an empty key', etcd => etcd.get('')],
  ['get of empty bytes', etcd => etcd.get(new Uint8Array(0))],
  ['get of a number', etcd => etcd.get(7)],
  ['get of a plain array', etcd => etcd.get([1, 2])],
  ['get of half a surrogate pair', etcd => etcd.get(HALF)],
  ['get of a range', etcd => etcd.get(prefix('a'))],
  ['get with an unknown option', etcd => etcd.get('k', { timeout: 5 })],
  ['get with options of a wrong type', etcd => etcd.get('k', 5)],
  ['get with null for options', etcd => etcd.get('k', null)],
  ['get with a signal that is none', etcd => etcd.get('k', { signal: {} })],
  ['get within no time', etcd => etcd.get('k', { timeoutMs: 0 })],
  ['get at a revision that is a number', etcd => etcd.get('k', { revision: 5 })],
  ['range with a negative limit', etcd => etcd.range(prefix('a'), { limit: -1 })],
  [
    'range with a sort that is misspelt',
    etcd => etcd.range('k', { sort: { by: 'key', direction: 'ascending' } }),
  ],
  ['range from after to before', etcd => etcd.range(between('b', 'a'))],
  ['range from and to the same key', etcd => etcd.range(between('a', 'a'))],
  ['range of something like a range', etcd => etcd.range({ key: 'a', end: 'b' })],
  ['pages with a limit', etcd => etcd.pages('k', { limit: 5 })],
  ['pages of size zero', etcd => etcd.pages('k', { pageSize: 0 })],
  ['pages in another order', etcd => etcd.pages('k', { sort: { by: 'key', order: 'descending' } })],
  ['put of an empty key', etcd => etcd.put('', 'v')],
  ['put without a value', etcd => etcd.put('k')],
  ['put of null', etcd => etcd.put('k', null)],
  ['put of an object', etcd => etcd.put('k', { a: 1 })],
  ['put with a lease that is a number', etcd => etcd.put('k', 'v', { lease: 5 })],
  ['put with a negative lease', etcd => etcd.put('k', 'v', { lease: -5n })],
  ['put with an unknown option', etcd => etcd.put('k', 'v', { ttl: 5 })],
  ['put with a flag that is none', etcd => etcd.put('k', 'v', { previous: 'yes' })],
  ['put that keeps its value and has one', etcd => etcd.put('k', 'v', { keep: 'value' })],
  ['delete without a key', etcd => etcd.delete()],
  ['delete with an unknown option', etcd => etcd.delete('k', { limit: 1 })],
  ['delete with a flag that is none', etcd => etcd.delete('k', { previous: 1 })],
  ['a transaction that is none', etcd => etcd.txn(undefined)],
  ['a transaction with an unknown part', etcd => etcd.txn({ success: [] })],
  ['a transaction with an unknown option', etcd => etcd.txn({}, { retries: 3 })],
  ['a transaction with a step that is none', etcd => etcd.txn({ then: [{}] })],
  [
    'a transaction that compares with a number',
    etcd => etcd.txn({ if: [compare('k').version.equals(1 as Wrong)] }),
  ],
  [
    'a transaction with a misspelt step',
    etcd => etcd.txn({ then: [op.put('k', 'v', { leese: 1n } as Wrong)] }),
  ],
  ['compacting to a number', etcd => etcd.compact(5)],
  ['compacting to zero', etcd => etcd.compact(0n)],
  ['compacting with a flag that is none', etcd => etcd.compact(5n, { physical: 'yes' })],
  ['a watch of nothing', etcd => etcd.watch('')],
  ['a watch with an unknown option', etcd => etcd.watch('k', { prefix: true })],
  ['a watch from a number', etcd => etcd.watch('k', { from: 5 })],
  ['a watch of other events', etcd => etcd.watch('k', { only: 'expire' })],
  ['a watch without a buffer', etcd => etcd.watch('k', { maxBuffered: 0 })],
  ['a watch with a signal that is none', etcd => etcd.watch('k', { signal: 5 })],
  ...[0, -1, Number.NaN, 1.5, Number.POSITIVE_INFINITY, 9_000_000_001].map(
    (ttl): [string, (etcd: Wrong) => unknown] => [`a lease of ${ttl} seconds`, etcd => etcd.lease.grant(ttl)],
  ),
  ['a lease of "10" seconds', etcd => etcd.lease.grant('10')],
  ['a lease of 10n seconds', etcd => etcd.lease.grant(10n)],
  ['a lease without a ttl', etcd => etcd.lease.grant()],
  ['a lease with the id zero', etcd => etcd.lease.grant(10, { id: 0n })],
  ['a lease with a negative id', etcd => etcd.lease.grant(10, { id: -1n })],
  ['a lease with an id that is a number', etcd => etcd.lease.grant(10, { id: 5 })],
  ['a lease with an unknown option', etcd => etcd.lease.grant(10, { name: 'x' })],
  ['revoking a number', etcd => etcd.lease.revoke(5)],
  ['revoking nothing', etcd => etcd.lease.revoke()],
  ['keeping a lease of hex digits', etcd => etcd.lease.keepAlive('5f')],
  ['the time of a lease that is a number', etcd => etcd.lease.timeToLive(5)],
  ['the time of a lease with a flag that is none', etcd => etcd.lease.timeToLive(5n, { keys: 'yes' })],
  ['listing leases with an unknown option', etcd => etcd.lease.list({ limit: 5 })],
  ['a user without a name', etcd => etcd.auth.addUser('', 'x')],
  ['a user with an empty password', etcd => etcd.auth.addUser('me', '')],
  ['a user with a password that is a number', etcd => etcd.auth.addUser('me', 5)],
  ['a user named by a number', etcd => etcd.auth.user(5)],
  ['a user with half a surrogate pair', etcd => etcd.auth.deleteUser(HALF)],
  ['a new password that is missing', etcd => etcd.auth.changePassword('me')],
  ['a role without a name', etcd => etcd.auth.addRole('')],
  ['granting no role', etcd => etcd.auth.grantRole('me')],
  ['a permission that is none', etcd => etcd.auth.grantPermission('role')],
  [
    'a permission with an unknown access',
    etcd => etcd.auth.grantPermission('role', { access: 'all', keys: 'k' }),
  ],
  ['a permission for no key', etcd => etcd.auth.grantPermission('role', { access: 'read', keys: '' })],
  [
    'a permission with an unknown part',
    etcd => etcd.auth.grantPermission('role', { access: 'read', key: 'k' }),
  ],
  ['enabling authentication with an unknown option', etcd => etcd.auth.enable({ force: true })],
  ['members with an unknown consistency', etcd => etcd.cluster.members({ consistency: 'quorum' })],
  ['a member without a URL', etcd => etcd.cluster.addMember([])],
  ['a member with a URL that is none', etcd => etcd.cluster.addMember(['127.0.0.1:2380'])],
  ['a member with one URL instead of a list', etcd => etcd.cluster.addMember('http://127.0.0.1:2380')],
  ['a learner with a flag that is none', etcd => etcd.cluster.addMember(['http://a:1'], { learner: 'yes' })],
  ['removing a member by a number', etcd => etcd.cluster.removeMember(5)],
  ['removing the member zero', etcd => etcd.cluster.removeMember(0n)],
  ['promoting a member beyond 64 bits', etcd => etcd.cluster.promoteMember(2n ** 64n)],
  ['the status of an endpoint that is not ours', etcd => etcd.maintenance.status('elsewhere:2379')],
  ['the status of an endpoint that is none', etcd => etcd.maintenance.status('http://')],
  ['the hash of a member that is a number', etcd => etcd.maintenance.hash(5)],
  ['the hash at a revision that is a number', etcd => etcd.maintenance.hashKv('a:1', { revision: 5 })],
  ['defragmenting nobody', etcd => etcd.maintenance.defragment()],
  ['disarming nothing', etcd => etcd.maintenance.disarm()],
  ['disarming an unknown alarm', etcd => etcd.maintenance.disarm({ memberId: 1n, kind: 'fire' })],
  ['moving the lead to a number', etcd => etcd.maintenance.moveLeader(5)],
  [
    'a snapshot of an endpoint that is not ours',
    etcd => etcd.maintenance.snapshot({ endpoint: 'elsewhere:1' }),
  ],
  ['a downgrade to no version', etcd => etcd.maintenance.enableDowngrade()],
  ['a downgrade to a word', etcd => etcd.maintenance.validateDowngrade('latest')],
  ['a namespace without a prefix', etcd => etcd.namespace('')],
  ['a namespace of a wrong type', etcd => etcd.namespace(5)],
  ['listening for what is never told', etcd => etcd.on('error', () => {})],
]

for (const [what, call] of wrongCalls) {
  test(`${what} is refused before any request`, async t => {
    const { etcd, transport } = await connected()
    // Sync methods throw, async ones reject.
    const error = await t.throwsAsync(async () => call(etcd))
    t.true(error instanceof TypeError || error instanceof RangeError, String(error))
    await settle()
    t.is(transport.calls.length, 0)
    t.is(transport.streams.length, 0)
  })
}

test('async methods reject and never throw', async t => {
  const { etcd } = await connected()
  const wrong = etcd as Wrong
  for (const call of [
    () => wrong.get(''),
    () => wrong.put('k'),
    () => wrong.txn(5),
    () => wrong.lease.grant(0),
    () => wrong.auth.addUser(''),
    () => wrong.cluster.removeMember(5),
    () => wrong.maintenance.status('elsewhere:1'),
  ]) {
    const answer: unknown = call()
    t.true(answer instanceof Promise)
    await t.throwsAsync(answer as Promise<unknown>)
  }
})

async function connected(): Promise<{ etcd: Etcd; transport: FakeTransport }> {
  const transport = new FakeTransport()
  const etcd = await connect('a:1', { transport, runtime: new FakeRuntime() })
  return { etcd, transport }
}
