import test, { type ExecutionContext } from 'ava'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import { line, sessionPlayer } from '../../traits/arena.ts'

const server = useEtcd(test)

test('of a mutex it is told who holds it, who waits, and for whom, in one round trip', async t => {
  const { etcd, session } = await sessionPlayer(t, server(), { owner: 'worker-7' })
  const other = await sessionPlayer(t, server(), { owner: 'worker-8' })
  const third = await sessionPlayer(t, server(), { metadata: 'none' })
  const name = nameOf(t)
  t.is((await etcd.mutex(name).explain()).text, `mutex ${name}: free, 0 waiting`)
  const hold = await other.session.mutex(name).lock()
  const leaving = new AbortController()
  const { signal } = leaving
  const waiting = [t.throwsAsync(third.session.mutex(name).lock({ signal }), { message: 'leaves' })]
  await line(etcd, name, 2)
  waiting.push(t.throwsAsync(session.mutex(name).lock({ signal }), { message: 'leaves' }))
  await line(etcd, name, 3)
  const looker = await sessionPlayer(t, server())
  const before = looker.net.sent.length
  await looker.session.mutex(name).explain()
  t.is(looker.net.sent.length, before + 1)
  const explanation = await session.mutex(name).explain()
  t.is(explanation.kind, 'mutex')
  t.is(explanation.name, name)
  t.deepEqual(
    explanation.places.map(({ contender, state, ours }) => [contender.owner, state, ours]),
    [
      ['worker-8', 'holds', false],
      [undefined, 'waits', false],
      ['worker-7', 'waits', true],
    ],
  )
  const [mine] = explanation.ours
  t.deepEqual(
    mine!.waitsFor.map(({ leaseId }) => leaseId),
    [other.session.leaseId, third.session.leaseId],
  )
  t.is(explanation.holders[0]!.contender.createRevision, hold.fencingToken)
  t.deepEqual((await etcd.mutex(name).explain()).ours, [])
  const rows = String(explanation).split('\n')
  t.is(rows[0], `mutex ${name}: held by 1, 2 waiting`)
  t.is(rows.length, 4)
  t.regex(rows[1]!, /^holds .*worker-8 \(.+:\d+\) .* ago$/)
  t.regex(rows[2]!, new RegExp(`^waits .*behind worker-8 .* with ${hold.fencingToken}$`))
  t.regex(rows[3]!, /^waits .* us .* and 1 before$/)
  leaving.abort(new Error('leaves'))
  await Promise.all(waiting)
})

test('a reader waits for writers only', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const lock = session.rwMutex(name)
  await lock.readLock()
  const leaving = new AbortController()
  const { signal } = leaving
  const waiting = [t.throwsAsync(lock.writeLock({ signal }))]
  await line(etcd, name, 2)
  waiting.push(t.throwsAsync(lock.readLock({ signal })))
  await line(etcd, name, 3)
  const { places } = await lock.explain()
  t.deepEqual(
    places.map(({ contender, state, waitsFor }) => [contender.mode, state, waitsFor.map(({ mode }) => mode)]),
    [
      ['read', 'holds', []],
      ['write', 'waits', ['read']],
      ['read', 'waits', ['write']],
    ],
  )
  leaving.abort(new Error('leaves'))
  await Promise.all(waiting)
})

test('of a semaphore the head waits for permits, and who is behind it for those before', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const mine = await session.semaphore(name, { permits: 3 }).acquire()
  await other.session.semaphore(name, { permits: 3 }).acquire()
  const leaving = new AbortController()
  const { signal } = leaving
  const semaphore = session.semaphore(name, { permits: 3 })
  const waiting = [t.throwsAsync(semaphore.acquire({ count: 2, signal }))]
  await line(etcd, `${name}/w`, 1)
  waiting.push(t.throwsAsync(semaphore.acquire({ signal })))
  await line(etcd, `${name}/w`, 2)
  const explanation = await semaphore.explain()
  t.is(explanation.permits, 3)
  t.is(explanation.holders[0]!.contender.createRevision, mine.fencingToken)
  const [head, behind] = explanation.waiters
  t.is(head!.waitsFor.length, 2)
  t.is(head!.reason, 'wants 2, 1 of 3 permits free')
  t.deepEqual(behind!.waitsFor, [head!.contender])
  const rows = explanation.text.split('\n')
  t.is(rows[0], `semaphore ${name}: 2 of 3 permits held, 2 waiting`)
  t.regex(rows[1]!, /^holds {2}slot 0 .* us /)
  leaving.abort(new Error('leaves'))
  await Promise.all(waiting)
})

test('of an election it is told who leads and who waits', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('me')
  const explanation = await etcd.election(name).explain()
  t.is(explanation.kind, 'election')
  t.is(explanation.holders[0]!.contender.createRevision, leadership.fencingToken)
})

test('a session decides what its places say', async t => {
  const { etcd } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const said: unknown[] = []
  const session = await etcd.session({
    owner: 'alice',
    describe: place => {
      said.push(place)
      return { owner: place.owner?.slice(0, 1), sinceMs: place.sinceMs, purpose: 'reports' }
    },
  })
  const hold = await session.mutex(name).lock()
  const holder = (await etcd.mutex(name).holder())!
  t.is(holder.owner, 'a')
  t.is(holder.purpose, 'reports')
  t.is(holder.host, undefined)
  t.is(holder.pid, undefined)
  t.like(said[0], { owner: 'alice' })
  t.is(typeof (said[0] as { readonly host: unknown }).host, 'string')
  t.regex((await etcd.mutex(name).explain()).text, /a for reports/)
  await hold.unlock()
  const failing = await etcd.session({
    describe: () => {
      throw new Error('not today')
    },
  })
  await t.throwsAsync(failing.mutex(name).lock(), { message: 'not today' })
  t.is(await etcd.mutex(name).holder(), undefined)
  await t.throwsAsync(etcd.session({ describe: 'me' as never }), { instanceOf: TypeError })
})

test('a semaphore nobody has used is not said to have no permits', async t => {
  const { etcd } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const explanation = await etcd.semaphore(name).explain()
  t.is(explanation.permits, undefined)
  t.is(explanation.text, `semaphore ${name}: nobody has said yet how many permits there are, 0 waiting`)
})

test('what strangers say forges no line of the table', async t => {
  const { etcd } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const session = await etcd.session({ owner: 'x\nholds  everything \u001b[31m' })
  await session.mutex(name).lock()
  const { text } = await etcd.mutex(name).explain()
  t.is(text.split('\n').length, 2)
  t.false(text.includes('\u001b'))
})

function nameOf(t: ExecutionContext<unknown>): string {
  t.context ??= {}
  const context = t.context as { name?: string }
  context.name ??= `${uniquePrefix(t)}thing`
  return context.name
}
