import test, { type ExecutionContext } from 'ava'
import { compare, everything, from, op, prefix } from '../../../src/index.ts'
import { type Bytes, concat, text, toBytes } from '../../../src/wire/bytes.ts'
import { uniquePrefix } from '../../support/live.ts'
import { useClient } from '../client/use-client.ts'

const live = useClient(test)

const bytes = (...values: number[]) => Uint8Array.from(values)

/** Any of them may stand where a name is asked for, and each is a name of its own. */
const NAMES: readonly (readonly [what: string, name: Bytes])[] = [
  ['a single letter', 'a'],
  ['a slash', '/'],
  ['many slashes', '//////'],
  ['a way up', '..'],
  ['a long way up', '../../../../etc/passwd'],
  ['a dot', '.'],
  ['a NUL', '\0'],
  ['text with a NUL within', 'a\0b'],
  ['a NUL at the end', 'a\0'],
  ['a space', ' '],
  ['a line feed', 'a\nb'],
  ['an escape sequence', '\u001b[31m'],
  ['a byte order mark', '\ufeff'],
  ['__proto__', '__proto__'],
  ['constructor', 'constructor'],
  ['hasOwnProperty', 'hasOwnProperty'],
  ['a letter with its accent', '\u00e9'],
  ['a letter and its accent', 'e\u0301'],
  ['a letter in upper case', 'A'],
  ['a Turkish dotless i', '\u0131'],
  ['a full-width letter', '\uff41'],
  ['text to the left', '\u202eabc'],
  ['something beyond the first plane', '\u{1f512}'],
  ['something percent-encoded', '%2e%2e%2f'],
  ['a pattern', '.*'],
  ['the hex of a lease', '694d7a1b2c3d4e5f'],
  ['a byte that is no UTF-8', bytes(0xff)],
  ['nothing but the last byte', bytes(0xff, 0xff, 0xff)],
  ['half a character', bytes(0xc3)],
  ['a NUL in two bytes', bytes(0xc0, 0x80)],
  ['every byte there is', Uint8Array.from({ length: 256 }, (_, byte) => byte)],
  ['a hundred thousand bytes', 'x'.repeat(100_000)],
]

const REFUSED: readonly (readonly [
  what: string,
  name: unknown,
  error: typeof TypeError | typeof RangeError,
])[] = [
  ['an empty string', '', RangeError],
  ['no bytes', bytes(), RangeError],
  ['half a surrogate pair', 'a\ud800', TypeError],
  ['the other half', '\udc00b', TypeError],
  ['undefined', undefined, TypeError],
  ['null', null, TypeError],
  ['a number', 7, TypeError],
  ['a list', ['a'], TypeError],
  ['an object', { toString: () => 'a' }, TypeError],
  ['a String object', new String('a'), TypeError],
  ['an ArrayBuffer', new ArrayBuffer(1), TypeError],
]

for (const [what, name] of NAMES) {
  test.serial(`${what} is a key, a namespace and a lock like any other`, async t => {
    const { etcd } = live()
    const root = etcd.namespace(uniquePrefix(t))
    const outside = await sentinels(t, root)

    const inside = root.namespace('in/')
    await inside.put(name, 'value')
    t.is((await inside.get(name))?.text(), 'value')
    t.deepEqual((await inside.get(name))?.key, Uint8Array.from(toBytes(name)))
    t.deepEqual(
      (await inside.range(everything)).kvs.map(kv => kv.key),
      [Uint8Array.from(toBytes(name))],
    )
    t.is((await inside.range(from(name))).count, 1)
    t.is((await inside.range(prefix(name))).count, 1)
    const { succeeded } = await inside.txn({
      if: [compare(name).version.equals(1n)],
      then: [op.delete(name)],
    })
    t.true(succeeded)

    const within = inside.namespace(name)
    await within.put('k', 'v')
    t.deepEqual(
      (await within.range(everything)).kvs.map(kv => kv.name()),
      ['k'],
    )
    t.is((await within.delete(everything)).deleted, 1)

    const first = await inside.session({ ttl: 60 })
    const second = await inside.session({ ttl: 60 })
    const hold = await first.mutex(name).lock()
    t.is(hold.name, text(toBytes(name)))
    t.is((await inside.mutex(name).holder())?.leaseId, first.leaseId)
    t.is(await second.mutex(name).tryLock(), undefined)
    t.is(await first.mutex(toBytes(name)).tryLock(), undefined, 'its bytes are another lock')
    const { kvs } = await inside.range(everything)
    t.deepEqual(
      kvs.map(kv => kv.key),
      [concat(toBytes(name), toBytes(`/${first.leaseId.toString(16)}`))],
    )
    await hold.unlock()
    const next = await second.mutex(name).tryLock()
    await next?.unlock()
    t.true((next?.fencingToken ?? 0n) > hold.fencingToken)
    await first.close()
    await second.close()

    await inside.delete(everything)
    await outside.areUntouched()
  })
}

for (const [what, name, error] of REFUSED) {
  test.serial(`${what} is refused as a name before any request`, async t => {
    const { etcd } = live()
    const session = await etcd.session({ ttl: 60 })
    const wrong = name as string
    const sent = countCalls(etcd)
    for (const call of [
      () => etcd.get(wrong),
      () => etcd.put(wrong, 'v'),
      () => etcd.delete(wrong),
      async () => etcd.watch(wrong),
      async () => etcd.namespace(wrong),
      async () => etcd.mutex(wrong),
      async () => session.mutex(wrong),
      async () => compare(wrong),
      async () => op.put(wrong, 'v'),
    ]) {
      await t.throwsAsync(async () => call(), { instanceOf: error }, String(call))
    }
    t.is(sent(), 0)
    await session.close()
  })
}

/** Names that are told apart, though people may not. */
test.serial('every name is a lock of its own: held all at once', async t => {
  const { etcd } = live()
  const root = etcd.namespace(uniquePrefix(t))
  const session = await root.session({ ttl: 60 })
  const other = await root.session({ ttl: 60 })
  const held = []
  for (const [what, name] of NAMES) {
    const interfering = NAMES.some(([, below]) => below !== name && liesIn(below, name))
    if (interfering) continue
    const hold = await session.mutex(name).tryLock()
    t.truthy(hold, what)
    held.push(hold!)
  }
  t.true(held.length > 25)
  t.is(new Set(held.map(({ fencingToken }) => fencingToken)).size, held.length)
  for (const { key } of held)
    t.is(
      await other
        .mutex(key)
        .tryLock()
        .then(hold => hold?.unlock()),
      undefined,
    )
  await session.close()
  await other.close()
})

const PAIRS: readonly (readonly [held: Bytes, wanted: Bytes])[] = [
  ['a', 'a'],
  ['a', 'a/b'],
  ['a/b', 'a'],
  ['a/b/c', 'a'],
  ['a/', 'a'],
  ['a', 'a/'],
  ['a', 'a\0'],
  ['a\0', 'a'],
  ['a', 'ab'],
  ['ab', 'a'],
  ['a', 'A'],
  ['a0', 'a'],
  ['a.', 'a'],
  ['\u00e9', 'e\u0301'],
  [bytes(0x61), 'a'],
  [bytes(0xff), bytes(0xff, 0xff)],
  [bytes(0xff, 0x2f), bytes(0xff)],
  ['/', '//'],
  ['//', '/'],
]

for (const [held, wanted] of PAIRS) {
  const stands = liesIn(held, wanted) ? 'stands in the line of' : 'is apart from'
  test.serial(`a held lock ${shown(held)} ${stands} the lock ${shown(wanted)}`, async t => {
    const { etcd } = live()
    const root = etcd.namespace(uniquePrefix(t))
    const holder = await root.session({ ttl: 60 })
    const other = await root.session({ ttl: 60 })
    const hold = await holder.mutex(held).lock()
    const got = await other.mutex(wanted).tryLock()
    t.is(got === undefined, liesIn(held, wanted))
    await got?.unlock()
    await hold.unlock()
    t.truthy(await other.mutex(wanted).tryLock())
    await holder.close()
    await other.close()
  })
}

test.serial('keys that go with a lease are named by a namespace only where they are its own', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const view = etcd.namespace(`${at}in/`)
  const { id } = await etcd.lease.grant(60)
  await view.put('k', 'v', { lease: id })
  await etcd.put(`${at}outside-and-longer-than-the-prefix`, 'v', { lease: id })
  const { keys } = (await view.lease.timeToLive(id, { keys: true }))!
  t.deepEqual(keys.map(text), ['k'])
  await etcd.lease.revoke(id)
})

test.serial('users and roles are named by any text', async t => {
  const { auth } = live().etcd
  for (const [what, name] of NAMES) {
    if (typeof name !== 'string' || name.length > 1000) continue
    await auth.addUser(name, 'p')
    await auth.addRole(name)
    await auth.grantRole(name, name)
    t.deepEqual(await auth.user(name), { name, roles: [name] }, what)
    t.true((await auth.users()).includes(name), what)
    await auth.deleteUser(name)
    await auth.deleteRole(name)
    await t.throwsAsync(auth.user(name), { code: 'NOT_FOUND' })
  }
})

/** Go's layout: keys of a lock begin with its name and a slash. */
function liesIn(lock: Bytes, line: Bytes): boolean {
  const key = Buffer.from(concat(toBytes(lock), toBytes('/')))
  const start = concat(toBytes(line), toBytes('/'))
  return key.subarray(0, start.length).equals(start)
}

type Etcd = ReturnType<typeof live>['etcd']

/** Keys beside, above and below the namespace `in/`, which nothing done within it may touch. */
async function sentinels(t: ExecutionContext, root: Etcd): Promise<{ areUntouched(): Promise<void> }> {
  const names: readonly Bytes[] = [
    'a',
    'in',
    'in.',
    'in0',
    'io',
    '\0',
    bytes(0xff),
    bytes(0x69, 0x6e, 0x2e, 0xff),
  ]
  for (const name of names) await root.put(name, 'sentinel')
  const before = (await root.range(everything)).kvs.map(String.bind(undefined))
  return {
    areUntouched: async () => {
      const { kvs, count } = await root.range(everything)
      t.is(count, before.length)
      for (const kv of kvs) t.like(kv, { version: 1n })
    },
  }
}

/** How many calls have left since. */
function countCalls({ engine }: Etcd): () => number {
  let calls = 0
  engine.answers.listen(() => {
    calls++
  })
  return () => calls
}

function shown(name: Bytes): string {
  return typeof name === 'string' ? JSON.stringify(name) : `of the bytes ${Buffer.from(name).toString('hex')}`
}
