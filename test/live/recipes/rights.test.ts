import test, { type ExecutionContext } from 'ava'
import { connect, type Etcd, type LeadState, prefix } from '../../../src/index.ts'
import { useClient } from '../client/use-client.ts'

const ROOT = { username: 'root', password: 'a-root-secret' } as const
const live = useClient(test, { auth: ROOT })

test('a leader that may not give its key up does not keep it alive', async t => {
  t.timeout(60_000)
  const { etcd: root } = live()
  const etcd = await allowed(t, 'lea', 'leaders/x')
  const warnings: string[] = []
  etcd.on('warning', ({ code }) => warnings.push(code))
  let leaves = () => {}
  const states: LeadState['kind'][] = []
  const leading = t.throwsAsync(
    etcd.lead(
      'leaders/x',
      () =>
        new Promise<void>(resolve => {
          leaves = resolve
        }),
      { ttl: 5, onState: ({ kind }) => states.push(kind) },
    ),
    { code: 'PERMISSION_DENIED' },
  )
  while ((await root.election('leaders/x').leader()) === undefined);
  while (!states.includes('leading')) await new Promise(resolve => setImmediate(resolve))
  const deletions = root.watch(prefix('leaders/x/'), { only: 'delete' })
  await deletions.ready
  await root.auth.revokePermission('lea', prefix('leaders/x'))
  leaves()
  for await (const { type } of deletions) {
    t.is(type, 'delete')
    break
  }
  await leading
  t.true(warnings.includes('NOT_RESIGNED'))
})

test('a leader that may not proclaim what it makes of its token does not keep its key alive', async t => {
  t.timeout(60_000)
  const { etcd: root } = live()
  const etcd = await allowed(t, 'mia', 'leaders/m')
  const warnings: string[] = []
  etcd.on('warning', ({ code }) => warnings.push(code))
  const leaving = new AbortController()
  const before = root.lead(
    'leaders/m',
    ({ signal }) => new Promise<void>(resolve => signal.addEventListener('abort', () => resolve())),
    { signal: leaving.signal },
  )
  while ((await root.election('leaders/m').leader()) === undefined);
  const leading = t.throwsAsync(
    etcd.lead('leaders/m', () => t.fail('leads'), { ttl: 5, value: token => `term ${token}` }),
    { code: 'PERMISSION_DENIED' },
  )
  while ((await root.range(prefix('leaders/m.candidates/'))).kvs.length === 0);
  await root.auth.grantPermission('mia', { access: 'read', keys: prefix('leaders/m') })
  leaving.abort()
  await before
  await leading
  while ((await root.election('leaders/m').leader()) !== undefined);
  t.deepEqual(warnings, ['NOT_RESIGNED'])
})

test('a barrier whose release was refused can be released later', async t => {
  const { etcd: root } = live()
  const etcd = await allowed(t, 'ben', 'barriers/y')
  const hold = await etcd.barrier('barriers/y').hold()
  await root.auth.revokePermission('ben', prefix('barriers/y'))
  await t.throwsAsync(hold.release(), { code: 'PERMISSION_DENIED' })
  await root.auth.grantPermission('ben', { access: 'readwrite', keys: prefix('barriers/y') })
  await hold.release()
  t.is(await root.barrier('barriers/y').wait(), 'absent')
})

/** A client that may use keys with this prefix and nothing else. */
async function allowed(t: ExecutionContext<unknown>, name: string, keys: string): Promise<Etcd> {
  const { etcd: root, servers } = live()
  await root.auth.addRole(name)
  await root.auth.grantPermission(name, { access: 'readwrite', keys: prefix(keys) })
  await root.auth.addUser(name, 'a-secret')
  await root.auth.grantRole(name, name)
  const etcd = await connect(servers.endpoints, { credentials: { username: name, password: 'a-secret' } })
  t.teardown(() => etcd[Symbol.asyncDispose]())
  return etcd
}
