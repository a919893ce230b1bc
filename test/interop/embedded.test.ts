/** The embedded server from outside: etcd's own command line tool must take it for an etcd. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import test from 'ava'
import { type EmbeddedEtcd, startEtcd } from '../../src/embedded/index.ts'
import { type Output, run } from '../support/executable.ts'

test('etcdctl puts, gets and deletes', async t => {
  await using server = await startEtcd()
  const etcdctl = etcdctlOn(server)
  t.is(await etcdctl('put', 'a', 'one'), 'OK\n')
  t.is(await etcdctl('put', '--prev-kv', 'a', 'two'), 'OK\na\none\n')
  await etcdctl('put', 'b', 'three')
  t.is(await etcdctl('get', 'a'), 'a\ntwo\n')
  t.is(await etcdctl('get', '--prefix', '', '--order=DESCEND', '--sort-by=KEY'), 'b\nthree\na\ntwo\n')
  t.is(await etcdctl('get', 'a', '--rev=2', '--print-value-only'), 'one\n')
  t.is(await etcdctl('get', 'a', 'z', '--limit=1', '--keys-only'), 'a\n\n')
  t.is(await etcdctl('del', '--prefix', '--prev-kv', ''), '2\na\ntwo\nb\nthree\n')
})

test('etcdctl runs a transaction', async t => {
  await using server = await startEtcd()
  const etcdctl = etcdctlOn(server)
  await etcdctl('put', 'k', 'old')
  const txn = 'value("k") = "old"\nver("none") = "0"\n\nput k new\nget k\n\nget k\n\n'
  t.is((await etcdctl.with(txn, 'txn')).trim(), 'SUCCESS\n\nOK\n\nk\nnew')
  t.is((await etcdctl.with(txn, 'txn')).trim(), 'FAILURE\n\nk\nnew')
})

test('etcdctl watches, also from the past, and is told of a compaction', async t => {
  await using server = await startEtcd()
  const etcdctl = etcdctlOn(server)
  await etcdctl('put', 'w/a', 'one')
  const watch = etcdctl.start('watch', '--prefix', '--rev=2', '--prev-kv', 'w/')
  t.deepEqual(await watch.lines(3), ['PUT', 'w/a', 'one'])
  await etcdctl('put', 'w/a', 'two')
  t.deepEqual(await watch.lines(5), ['PUT', 'w/a', 'one', 'w/a', 'two'])
  await etcdctl('del', 'w/a')
  t.deepEqual(await watch.lines(4), ['DELETE', 'w/a', 'two', 'w/a'])
  await watch.stop()

  await etcdctl('compaction', '4')
  const late = etcdctl.start('watch', '--rev=2', 'w/a')
  await t.throwsAsync(late.lines(1), { message: /ended/ })
  t.not(await late.ended, 0)
})

test('etcdctl grants, keeps alive and revokes leases', async t => {
  await using server = await startEtcd()
  const etcdctl = etcdctlOn(server)
  const [, id] = /^lease (\w+) granted with TTL\(60s\)/.exec(await etcdctl('lease', 'grant', '60'))!
  await etcdctl('put', '--lease', id!, 'k', 'v')
  t.regex(
    await etcdctl('lease', 'timetolive', id!, '--keys'),
    /granted with TTL\(60s\), remaining\(\d+s\), attached keys\(\[k\]\)/,
  )
  t.is(await etcdctl('lease', 'keep-alive', '--once', id!), `lease ${id} keepalived with TTL(60)\n`)
  t.is(await etcdctl('lease', 'list'), `found 1 leases\n${id}\n`)
  t.is(await etcdctl('lease', 'revoke', id!), `lease ${id} revoked\n`)
  t.is(await etcdctl('get', 'k'), '')
  await t.throwsAsync(etcdctl('lease', 'revoke', id!), { message: /requested lease not found/ })
})

test('etcdctl locks: the next gets the lock when the one before is gone', async t => {
  await using server = await startEtcd()
  const etcdctl = etcdctlOn(server)
  const first = etcdctl.start('lock', 'l')
  const [held] = await first.lines(1)
  const second = etcdctl.start('lock', 'l')
  while (!(await etcdctl('get', '--prefix', '--keys-only', 'l/')).replace(held!, '').includes('l/'));
  await first.stop()
  const [next] = await second.lines(1)
  t.not(next, held)
  await second.stop()
  t.is(await etcdctl('get', '--prefix', 'l/'), '')
  t.is(await etcdctl('lock', 'l', 'echo', 'inside'), 'inside\n')
})

test('etcdctl elects a leader, and others see who it is', async t => {
  await using server = await startEtcd()
  const etcdctl = etcdctlOn(server)
  const leader = etcdctl.start('elect', 'e', 'me')
  const [key, value] = await leader.lines(2)
  t.is(value, 'me')
  const observer = etcdctl.start('elect', '--listen', 'e')
  t.deepEqual(await observer.lines(2), [key, 'me'])
  const second = etcdctl.start('elect', 'e', 'you')
  while (!(await etcdctl('get', '--prefix', 'e/')).includes('you'));
  await leader.stop()
  t.is((await second.lines(2))[1], 'you')
  t.is((await observer.lines(2))[1], 'you')
  await second.stop()
  await observer.stop()
})

test('etcdctl sets up users and roles, and is refused what they do not allow', async t => {
  await using server = await startEtcd()
  const etcdctl = etcdctlOn(server)
  t.is(await etcdctl('user', 'add', 'root:secret'), 'User root created\n')
  t.is(await etcdctl('user', 'grant-role', 'root', 'root'), 'Role root is granted to user root\n')
  await etcdctl('user', 'add', 'ann:of ann')
  await etcdctl('role', 'add', 'keeper')
  t.is(
    await etcdctl('role', 'grant-permission', '--prefix', 'keeper', 'readwrite', 'a/'),
    'Role keeper updated\n',
  )
  await etcdctl('user', 'grant-role', 'ann', 'keeper')
  t.is(await etcdctl('auth', 'enable'), 'Authentication Enabled\n')

  const ann = (...args: string[]) => etcdctl('--user=ann:of ann', ...args)
  t.is(await ann('put', 'a/x', '1'), 'OK\n')
  t.is(await ann('get', '--prefix', 'a/'), 'a/x\n1\n')
  await t.throwsAsync(ann('put', 'b', '1'), { message: /permission denied/ })
  await t.throwsAsync(etcdctl('get', 'a/x'), { message: /user name is empty/ })
  await t.throwsAsync(etcdctl('--user=ann:guess', 'get', 'a/x'), { message: /invalid user ID or password/ })

  const root = (...args: string[]) => etcdctl('--user=root:secret', ...args)
  t.is(await root('user', 'list'), 'ann\nroot\n')
  t.regex(await root('role', 'get', 'keeper'), /KV Write:\n\t\[a\/, a0\) \(prefix a\/\)/)
  t.is(await root('user', 'get', 'ann'), 'User: ann\nRoles: keeper\n')
  await root('role', 'revoke-permission', '--prefix', 'keeper', 'a/')
  await t.throwsAsync(ann('get', 'a/x'), { message: /permission denied/ })
  await root('user', 'delete', 'ann')
  await root('role', 'delete', 'keeper')
  t.is(await root('auth', 'disable'), 'Authentication Disabled\n')
  t.is(await etcdctl('get', 'a/x'), 'a/x\n1\n')
})

test('etcdctl finds the members, healthy, and their status', async t => {
  await using server = await startEtcd({ members: 3 })
  const etcdctl = etcdctlOn(server)
  const members = JSON.parse(await etcdctl('member', 'list', '-w', 'json')) as { members: unknown[] }
  t.is(members.members.length, 3)
  t.is((await etcdctl('endpoint', 'health')).match(/is healthy/g)?.length, 3)
  const statuses = JSON.parse(await etcdctl('endpoint', 'status', '-w', 'json')) as {
    Status: { leader: number; version: string; header: { member_id: number } }
  }[]
  t.is(statuses.length, 3)
  t.is(new Set(statuses.map(({ Status }) => Status.leader)).size, 1)
  t.is((await etcdctl('endpoint', 'hashkv')).trim().split('\n').length, 3)
  t.regex(
    await etcdctl('member', 'add', 'new', '--peer-urls=http://new:2380', '--learner'),
    /added to cluster/,
  )
  await t.throwsAsync(etcdctl('member', 'add', 'new', '--peer-urls=http://new:2380'), {
    message: /Peer URLs already exists/,
  })
})

test('etcdctl compacts, defragments and handles alarms', async t => {
  await using server = await startEtcd()
  const etcdctl = etcdctlOn(server)
  for (const value of ['1', '2', '3']) await etcdctl('put', 'k', value)
  t.is(await etcdctl('compaction', '--physical', '3'), 'compacted revision 3\n')
  await t.throwsAsync(etcdctl('get', 'k', '--rev=2'), { message: /required revision has been compacted/ })
  await t.throwsAsync(etcdctl('compaction', '9'), { message: /future revision/ })
  t.regex(await etcdctl('defrag'), /Finished defragmenting/)
  t.is(await etcdctl('alarm', 'list'), '')
})

test('etcdctl sees the alarm of a full database and disarms it', async t => {
  await using server = await startEtcd({ quotaBytes: 64 * 1024 })
  const etcdctl = etcdctlOn(server)
  await etcdctl.with('x'.repeat(40 * 1024), 'put', 'big')
  await t.throwsAsync(etcdctl.with('x'.repeat(10 * 1024), 'put', 'more'), {
    message: /database space exceeded/,
  })
  t.regex(await etcdctl('alarm', 'list'), /^memberID:\d+ alarm:NOSPACE/)
  await etcdctl('del', 'big')
  const revision = (JSON.parse(await etcdctl('get', 'k', '-w', 'json')) as { header: { revision: number } })
    .header.revision
  await etcdctl('compaction', String(revision))
  await etcdctl('defrag')
  await etcdctl('alarm', 'disarm')
  t.is(await etcdctl.with('x'.repeat(10 * 1024), 'put', 'more'), 'OK\n')
})

test('what etcdctl saved as a snapshot starts another server', async t => {
  const folder = await mkdtemp(path.join(tmpdir(), 'quorate-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = path.join(folder, 'snapshot')
  await using server = await startEtcd()
  await etcdctlOn(server)('put', 'k', 'kept')
  t.regex(await etcdctlOn(server)('snapshot', 'save', file), /Snapshot saved/)
  await using restored = await startEtcd({ snapshot: await readFile(file) })
  t.is(await etcdctlOn(restored)('get', 'k'), 'k\nkept\n')
})

/** A running etcdctl and what it prints. */
interface Running {
  /** Its exit status. */
  readonly ended: Promise<number | null>
  /** As at a terminal: it lets go of what it holds. */
  stop(): Promise<void>
  /** The next lines that are not empty. */
  lines(count: number): Promise<string[]>
}

interface Etcdctl {
  (...args: readonly string[]): Promise<string>
  with(input: string, ...args: readonly string[]): Promise<string>
  start(...args: readonly string[]): Running
}

const env = { ...process.env, ETCDCTL_API: '3' }

function etcdctlOn(server: EmbeddedEtcd): Etcdctl {
  const endpoints = `--endpoints=${server.endpoints.join(',')}`
  const call = async (...args: readonly string[]) => said(await run('etcdctl', [endpoints, ...args], { env }))
  return Object.assign(call, {
    async with(input: string, ...args: readonly string[]) {
      const child = spawn('etcdctl', [endpoints, ...args], { env })
      const output = ['', '']
      child.stdout.on('data', data => (output[0] += data))
      child.stderr.on('data', data => (output[1] += data))
      child.stdin.end(input)
      const [code] = (await once(child, 'close')) as [number]
      if (code !== 0) throw new Error(output[1])
      return output[0]!
    },
    start(...args: readonly string[]) {
      const child = spawn('etcdctl', [endpoints, ...args], { env, stdio: ['ignore', 'pipe', 'ignore'] })
      const ended = once(child, 'close').then(([code]) => code as number | null)
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
      return {
        ended,
        async stop() {
          child.kill('SIGINT')
          await ended
        },
        async lines(count: number) {
          const read: string[] = []
          while (read.length < count) {
            const { value, done } = await lines.next()
            if (done === true) throw new Error(`etcdctl ${args.join(' ')} ended after ${read.join(', ')}`)
            if (value !== '') read.push(value)
          }
          return read
        },
      }
    },
  })
}

/** Some of what it has to say goes to stderr. */
function said({ stdout, stderr }: Output): string {
  return stdout === '' ? stderr : stdout
}
