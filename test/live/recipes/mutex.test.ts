import test, { type ExecutionContext } from 'ava'
import { EtcdError, type Hold, prefix } from '../../../src/index.ts'
import type { TxnResponse } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import {
  aborted,
  creates,
  deletes,
  keyIn,
  keysOf,
  line,
  player,
  quiet,
  sessionPlayer,
  stateOf,
  testRuntime,
  turns,
  waits,
  watchOfKey,
} from '../../traits/arena.ts'

const server = useEtcd(test)

/** A hold that lasts longer has its own key watched. */
const ARM_MS = 1000
const REQUEST_MS = 1000

test('a lock excludes, and its tokens grow', async t => {
  const { session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const tokens: bigint[] = []
  let inside = 0
  const work = async (mutex: ReturnType<typeof session.mutex>) => {
    for (let round = 0; round < 5; round++) {
      await mutex.run(async hold => {
        inside += 1
        t.is(inside, 1)
        tokens.push(hold.fencingToken)
        await turns(1)
        inside -= 1
      })
    }
  }
  await Promise.all([work(session.mutex(name)), work(session.mutex(name)), work(other.session.mutex(name))])
  t.is(tokens.length, 15)
  t.deepEqual(
    tokens,
    tokens.toSorted((one, two) => Number(one - two)),
  )
  t.is(new Set(tokens).size, 15)
})

test('sessions get the lock in the order in which they came', async t => {
  t.timeout(20_000)
  const name = nameOf(t)
  const players = await Promise.all(Array.from({ length: 3 }, () => sessionPlayer(t, server())))
  const sessions = [
    ...players.map(({ session }) => session),
    ...(await Promise.all(players.map(({ etcd }) => etcd.session()))),
  ]
  const order: number[] = []
  const done: Promise<void>[] = []
  const { etcd } = players[0]!
  const first = await sessions[0]!.mutex(name).lock()
  for (const [index, session] of sessions.entries()) {
    if (index === 0) continue
    const locking = session.mutex(name).lock()
    await line(etcd, name, index + 1)
    done.push(
      locking.then(async hold => {
        order.push(index)
        await hold.unlock()
      }),
    )
  }
  await first.unlock()
  await Promise.all(done)
  t.deepEqual(order, [1, 2, 3, 4, 5])
})

test('eighty sessions over four clients get the lock in order', async t => {
  t.timeout(30_000)
  const name = nameOf(t)
  const players = await Promise.all(Array.from({ length: 4 }, () => player(t, server())))
  const sessions = await Promise.all(
    Array.from({ length: 80 }, (_, n) => players[n % 4]!.etcd.session({ ttl: 60 })),
  )
  const order: number[] = []
  const tokens: bigint[] = []
  const { etcd } = await player(t, server())
  const front = await sessionPlayer(t, server())
  const gate = await front.session.mutex(name).lock()
  const done: Promise<unknown>[] = []
  for (const [index, session] of sessions.entries()) {
    const standing = players[index % 4]!.net.stopAnswers(methods.txn, creates(keyIn(session, name)))
    const locking = session.mutex(name).lock()
    const call = await standing.caught()
    standing.off()
    await call.deliver()
    done.push(
      locking.then(async hold => {
        order.push(index)
        tokens.push(hold.fencingToken)
        await hold.unlock()
      }),
    )
  }
  t.is((await keysOf(etcd, name)).length, 81)
  await gate.unlock()
  await Promise.all(done)
  t.deepEqual(order, [...sessions.keys()])
  t.true(tokens.every((token, n) => n === 0 || token > tokens[n - 1]!))
})

test('lock, tryLock and unlock take one round trip each, and the hand-off none', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const cost = async <Result>(work: () => Promise<Result>) => {
    const before = net.sent.length
    const result = await work()
    await quiet(net)
    return { result, trips: net.sent.length - before }
  }
  const locking = await cost(() => session.mutex(name).lock())
  t.is(locking.trips, 1)
  t.is((await cost(() => locking.result.unlock())).trips, 1)
  const trying = await cost(() => session.mutex(name).tryLock())
  t.is(trying.trips, 1)
  t.is((await cost(() => session.mutex(name).tryLock())).trips, 0, 'another task of the session has it')
  await trying.result!.unlock()
  const theirs = await other.session.mutex(name).lock()
  const before = await session.mutex(name).holder()
  const failed = await cost(() => session.mutex(name).tryLock())
  t.is(failed.result, undefined)
  t.is(failed.trips, 1)
  const { kvs } = await other.etcd.range(prefix(`${name}/`))
  t.deepEqual(
    kvs.map(({ createRevision, version }) => [createRevision, version]),
    [[before!.createRevision, 1n]],
    'nothing was written',
  )
  const waiting = session.mutex(name).lock()
  await waits(net, name)
  const handOff = await cost(async () => {
    await theirs.unlock()
    return waiting
  })
  t.is(handOff.trips, 0)
})

test('tasks of one session queue by the key in etcd, whatever view or spelling leads to it', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const namespace = uniquePrefix(t)
  const spelled = `${namespace}läck`
  const view = etcd.namespace(namespace)
  const mutexes = [
    session.mutex(spelled),
    session.mutex(Buffer.from(spelled)),
    session.mutex(new TextEncoder().encode(spelled)),
  ]
  const [first, ...rest] = mutexes
  const hold = await first!.lock()
  const waiting = rest.map(mutex => mutex.lock())
  await turns()
  for (const locking of waiting) t.is(await stateOf(locking), 'pending')
  for (const mutex of rest) t.is(await mutex.tryLock(), undefined)
  const other = await view.session()
  const across = other.mutex('läck').lock()
  await line(etcd, spelled, 2)
  await hold.unlock()
  // Whoever waits behind another task stands in no line yet.
  await (await across).unlock()
  for (const locking of waiting) await (await locking).unlock()
  await view.close()
  t.deepEqual(await keysOf(etcd, spelled), [])
})

test('two namespace views that lead to one key share its line', async t => {
  const { etcd } = await player(t, server())
  const root = uniquePrefix(t)
  const outer = await etcd.namespace(root).session()
  const inner = await etcd.namespace(root).namespace('a/').session()
  const hold = await outer.mutex('a/b').lock()
  t.is(await inner.mutex('b').tryLock(), undefined)
  await hold.unlock()
  const again = await inner.mutex('b').tryLock()
  t.truthy(again)
  t.is(await outer.mutex('a/b').tryLock(), undefined)
  const [holder] = [await etcd.mutex(`${root}a/b`).holder()]
  t.is(holder?.leaseId, inner.leaseId)
  t.is(Buffer.from(holder!.key).toString(), keyIn(inner, `${root}a/b`))
})

test('unlock is quiet when repeated, after a loss and after close', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  await Promise.all([hold.unlock(), hold.unlock()])
  const before = net.sent.length
  await hold.unlock()
  t.is(net.sent.length, before)
  t.false(hold.held)
  t.throws(() => hold.assertHeld(), { code: 'LOCK_RELEASED' } as never)
  t.true(EtcdError.is(hold.signal.reason, 'LOCK_RELEASED'))
  const lost = await session.mutex(name).lock()
  await etcd.delete(prefix(`${name}/`))
  await t.throwsAsync(lost.txn({ then: [] }))
  await lost.unlock()
  const last = await session.mutex(name).lock()
  await session.close()
  await last.unlock()
  await last[Symbol.asyncDispose]()
  t.true(EtcdError.is(last.signal.reason, 'SESSION_CLOSED'))
})

test('an unlock by whoever lost the lock deletes nobody else', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  const key = keyIn(session, name)
  await etcd.delete(key)
  await etcd.put(key, 'another creation')
  await hold.unlock()
  t.is((await etcd.get(key))?.text(), 'another creation')
})

test('run returns what its body does, and unlocks', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  t.is(await session.mutex(name).run(hold => Number(hold.fencingToken > 0n)), 1)
  t.deepEqual(await keysOf(etcd, name), [])
  await t.throwsAsync(session.mutex(name).run(undefined as never), { instanceOf: TypeError })
})

test('the error of the body of run comes first, also when the lock was lost', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  await t.throwsAsync(
    session.mutex(name).run(async hold => {
      await etcd.delete(prefix(`${name}/`))
      await hold.txn({ then: [] }).catch(() => {})
      throw new Error('of the body')
    }),
    { message: 'of the body' },
  )
  t.deepEqual(await keysOf(etcd, name), [])
})

test('run rejects with LOCK_LOST when the lock was lost before its body ended', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const error = await t.throwsAsync(
    session.mutex(name).run(async hold => {
      await etcd.delete(prefix(`${name}/`))
      await hold.txn({ then: [] }).catch(() => {})
      return 'done'
    }),
  )
  t.true(EtcdError.is(error, 'LOCK_LOST'))
  // Unlocking it oneself is no loss.
  await session.mutex(name).run(hold => hold.unlock())
})

test('trouble while unlocking after a success is nobody’s error', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const stopped = net.stopRequests(methods.txn, deletes(keyIn(session, name)))
  const running = session.mutex(name).run(() => 'done')
  for (let n = 1; n <= 2; n++) (await stopped.caught(n)).refuse()
  stopped.off()
  t.is(await running, 'done')
  await line(etcd, name, 0)
})

test('a transaction under the lock is applied only while it is held', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const { op, compare } = await import('../../../src/index.ts')
  const name = nameOf(t)
  const key = `${name}-data`
  const hold = await session.mutex(name).lock()
  const written = await hold.txn({ then: [op.put(key, '1')] })
  t.true(written.succeeded)
  const chosen = await hold.txn({
    if: [compare(key).value.equals('2')],
    then: [op.put(key, '3')],
    else: [op.get(key)],
  })
  t.false(chosen.succeeded)
  const guarded = await etcd.txn({ if: [hold.guard()], then: [op.put(key, '4')], else: [] })
  t.true(guarded.succeeded)
  await etcd.delete(keyIn(session, name))
  const error = await t.throwsAsync(hold.txn({ then: [op.put(key, '5')] }))
  t.true(EtcdError.is(error, 'LOCK_LOST'))
  t.is((await etcd.get(key))?.text(), '4')
  t.false(hold.held)
  t.false((await etcd.txn({ if: [hold.guard()], then: [op.put(key, '6')], else: [] })).succeeded)
})

test('the guard of an earlier hold of the same session does not pass for a later one', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.mutex(name).lock()
  await first.unlock()
  const second = await session.mutex(name).lock()
  t.false((await etcd.txn({ if: [first.guard()], then: [], else: [] })).succeeded)
  t.true((await etcd.txn({ if: [second.guard()], then: [], else: [] })).succeeded)
})

test('a hold notices that an operator deleted its key', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  t.is(runtime.fire(ARM_MS), 1)
  await net.watching(watchOfKey(keyIn(session, name)))
  await quiet(net)
  await etcd.delete(keyIn(session, name))
  t.true(EtcdError.is(await aborted(hold.signal), 'LOCK_LOST'))
  t.false(hold.held)
  t.is(session.state, 'active')
})

test('a hold notices a deletion from before its watch', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { etcd, session } = await sessionPlayer(t, server(), {}, { runtime })
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  await etcd.delete(keyIn(session, name))
  t.true(hold.held, 'a hold shorter than a second pays nothing for news')
  runtime.fire(ARM_MS)
  t.true(EtcdError.is(await aborted(hold.signal), 'LOCK_LOST'))
})

test('a hold notices long before its next renewal, without any help', async t => {
  t.timeout(30_000)
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  await etcd.delete(keyIn(session, name))
  const atMs = performance.now()
  await aborted(hold.signal)
  // A second to the watch, and a third of the TTL to the renewal.
  const noticedMs = performance.now() - atMs
  t.true(noticedMs < 4000, `it took ${noticedMs} ms`)
})

test('a foreign write that takes the key of a hold off its lease is a loss, and the key goes', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  runtime.fire(ARM_MS)
  await net.watching(watchOfKey(keyIn(session, name)))
  await quiet(net)
  await etcd.put(keyIn(session, name), 'taken')
  t.true(EtcdError.is(await aborted(hold.signal), 'LOCK_LOST'))
  await line(etcd, name, 0)
})

test('a waiter whose place an operator deletes rejects at once', async t => {
  const { session } = await sessionPlayer(t, server())
  const waiter = await sessionPlayer(t, server())
  const name = nameOf(t)
  await session.mutex(name).lock()
  const locking = waiter.session.mutex(name).lock()
  await waits(waiter.net, name)
  const rejected = t.throwsAsync(locking)
  await waiter.etcd.delete(keyIn(waiter.session, name))
  t.true(EtcdError.is(await rejected, 'LOCK_LOST'))
})

test('an unlock whose answer is lost is repeated, and no task gets the old token meanwhile', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const first = await session.mutex(name).lock()
  const second = session.mutex(name).lock()
  const stopped = net.stopAnswers(methods.txn, deletes(key))
  const unlocking = first.unlock()
  const call = await stopped.caught(1)
  await turns()
  t.is(net.sent.filter(({ path }) => path === methods.txn.path).length, 2, 'the next task does not even ask')
  t.is(await stateOf(second), 'pending')
  call.lose()
  const again = await stopped.caught(2)
  stopped.off()
  t.is(await stateOf(second), 'pending')
  await again.deliver()
  await unlocking
  const { fencingToken } = await second
  t.true(fencingToken > first.fencingToken)
})

test('an unlock that is under way when the session is lost resolves then', async t => {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), { ttl: 5 }, { runtime })
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  const stopped = net.stopAnswers(methods.txn, deletes(keyIn(session, name)))
  const unlocking = hold.unlock()
  const call = await stopped.caught(1)
  t.is(await stateOf(unlocking), 'pending')
  // The request has time left.
  runtime.stall(5000)
  t.is(session.state, 'lost')
  t.is(await stateOf(unlocking), 'fulfilled')
  call.lose()
})

test('an unlock that never reached the server is repeated before the next task is told anything', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.mutex(name).lock()
  const second = session.mutex(name).lock()
  const stopped = net.stopRequests(methods.txn, deletes(keyIn(session, name)))
  const unlocking = first.unlock()
  ;(await stopped.caught(1)).lose()
  stopped.off()
  await unlocking
  t.true((await second).fencingToken > first.fencingToken)
})

test('an unlock goes on when a whole request has used up its time', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { requestTimeoutMs: REQUEST_MS })
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  const stopped = net.stopRequests(methods.txn, deletes(keyIn(session, name)))
  const unlocking = hold.unlock()
  const outage = new AbortController()
  const losing = (async () => {
    for (let n = 1; !outage.signal.aborted; n++) (await stopped.caught(n)).lose()
  })()
  const startedAtMs = performance.now()
  while (performance.now() - startedAtMs < 2 * REQUEST_MS) await turns()
  t.is(await stateOf(unlocking), 'pending')
  outage.abort()
  await losing
  stopped.off()
  await unlocking
  await line(etcd, name, 0)
})

test('the signal of unlock stops the waiting for it, and the lock is given up all the same', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  const stopped = net.stopRequests(methods.txn, deletes(keyIn(session, name)))
  const leaving = new AbortController()
  const unlocking = t.throwsAsync(hold.unlock({ signal: leaving.signal }), { message: 'leaves' })
  const call = await stopped.caught()
  leaving.abort(new Error('leaves'))
  await unlocking
  t.false(hold.held)
  await call.deliver()
  await line(etcd, name, 0)
})

test('who cancels before asking has sent nothing', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const before = net.sent.length
  const reason = new Error('leaves')
  await t.throwsAsync(session.mutex(nameOf(t)).lock({ signal: AbortSignal.abort(reason) }), { is: reason })
  await t.throwsAsync(session.mutex(nameOf(t)).tryLock({ signal: AbortSignal.abort(reason) }), { is: reason })
  t.is(net.sent.length, before)
})

test('who cancels while the request is on its way leaves no key', async t => {
  t.timeout(20_000)
  for (const way of ['lock', 'tryLock'] as const) {
    const { etcd, net, session } = await sessionPlayer(t, server())
    const name = `${nameOf(t)}-${way}`
    for (const stop of ['stopRequests', 'stopAnswers'] as const) {
      const stopped = net[stop](methods.txn, creates(keyIn(session, name)))
      const leaving = new AbortController()
      const rejected = t.throwsAsync(session.mutex(name)[way]({ signal: leaving.signal }), {
        message: 'leaves',
      })
      const call = await stopped.caught()
      stopped.off()
      leaving.abort(new Error('leaves'))
      await rejected
      const next = session.mutex(name).lock()
      await call.deliver()
      const { succeeded } = (await call.apply()) as TxnResponse
      t.true(succeeded)
      await (await next).unlock()
      t.deepEqual(await keysOf(etcd, name), [])
    }
  }
})

test('who cancels while waiting in line leaves no key and goes on to lock later', async t => {
  t.timeout(20_000)
  const { session: front } = await sessionPlayer(t, server())
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await front.mutex(name).lock()
  const leaving = new AbortController()
  const rejected = t.throwsAsync(session.mutex(name).lock({ signal: leaving.signal }), { message: 'leaves' })
  await waits(net, name)
  const next = session.mutex(name).lock()
  leaving.abort(new Error('leaves'))
  await rejected
  await line(etcd, name, 2)
  await hold.unlock()
  t.true((await next).held)
})

test('who cancels while waiting for another task of the session leaves the others in order', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  const leaving = new AbortController()
  const second = t.throwsAsync(session.mutex(name).lock({ signal: leaving.signal }), { message: 'leaves' })
  const third = session.mutex(name).lock()
  const before = net.sent.length
  leaving.abort(new Error('leaves'))
  await second
  t.is(net.sent.length, before)
  await hold.unlock()
  await (await third).unlock()
  t.deepEqual(await keysOf(etcd, name), [])
})

test('who cancels at any moment of the grant either has the lock or leaves no key', async t => {
  t.timeout(20_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const outcomes = new Set<string>()
  for (let microtasks = 0; microtasks < 30; microtasks++) {
    const stopped = net.stopAnswers(methods.txn, creates(keyIn(session, name)))
    const leaving = new AbortController()
    const locking = session.mutex(name).lock({ signal: leaving.signal })
    const settled = locking.then(
      hold => hold,
      () => undefined,
    )
    const call = await stopped.caught()
    stopped.off()
    const told = call.deliver()
    for (let n = 0; n < microtasks; n++) await undefined
    leaving.abort(new Error('leaves'))
    await told
    const hold = await settled
    outcomes.add(hold === undefined ? 'left' : 'held')
    if (hold !== undefined) {
      t.true(hold.held)
      await hold.unlock()
    }
    await line(etcd, name, 0)
  }
  t.deepEqual([...outcomes].toSorted(), ['held', 'left'])
})

test('a session that ends at any moment of a grant reports no TypeError and leaves no key', async t => {
  const { etcd, net } = await player(t, server())
  const name = nameOf(t)
  for (let microtasks = 0; microtasks < 30; microtasks++) {
    const session = await etcd.session()
    const stopped = net.stopAnswers(methods.txn, creates(keyIn(session, name)))
    const locking = session.mutex(name).lock()
    const settled: Promise<Hold | unknown> = locking.catch(error => error)
    const call = await stopped.caught()
    stopped.off()
    const told = call.deliver()
    for (let n = 0; n < microtasks; n++) await undefined
    const closing = session.close()
    await told
    const result = await settled
    if (EtcdError.is(result)) t.is(result.code, 'SESSION_CLOSED')
    else t.regex(String((result as Hold).fencingToken), /^\d+$/)
    await closing
    if (!EtcdError.is(result)) t.false((result as Hold).held)
    t.deepEqual(await keysOf(etcd, name), [])
  }
})

test('the end of the session ends the wait wherever it is', async t => {
  t.timeout(30_000)
  const front = await sessionPlayer(t, server())
  for (const end of ['close', 'revoke', 'stall'] as const) {
    for (const where of ['in flight', 'in line', 'behind another task'] as const) {
      const runtime = testRuntime()
      const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
      const name = `${nameOf(t)}-${end}-${where.replaceAll(' ', '-')}`
      const gate = await front.session.mutex(name).lock()
      const first = session.mutex(name).lock()
      const outcome = first.then(
        () => undefined,
        error => error,
      )
      const waiting = [outcome]
      if (where === 'in flight') net.stopAnswers(methods.txn, creates(keyIn(session, name)))
      else await waits(net, name)
      if (where === 'behind another task')
        waiting.push(
          session
            .mutex(name)
            .lock()
            .catch(error => error),
        )
      const ended = aborted(session.signal)
      if (end === 'close') await session.close()
      if (end === 'revoke') await etcd.lease.revoke(session.leaseId)
      if (end === 'stall') {
        runtime.stall(15_000)
        t.is(session.state, 'lost')
      }
      // The one in line may hear of its place before the session hears of its lease.
      const codes = (await Promise.all(waiting)).map(error => (error as EtcdError).code)
      const expected = end === 'close' ? ['SESSION_CLOSED'] : ['SESSION_LOST', 'LOCK_LOST']
      for (const code of codes) t.true(expected.includes(code), `${end} ${where}: ${code}`)
      await ended
      await line(front.etcd, name, 1)
      await gate.unlock()
      await line(front.etcd, name, 0)
    }
  }
})

test('holder and waiters tell who stands where, since when', async t => {
  const one = await sessionPlayer(t, server(), { owner: 'first' })
  const two = await sessionPlayer(t, server(), { metadata: 'none', owner: 'unseen' })
  const name = nameOf(t)
  const view = one.etcd.mutex(name)
  t.is(await view.holder(), undefined)
  t.deepEqual(await view.waiters(), [])
  const hold = await one.session.mutex(name).lock()
  void two.session
    .mutex(name)
    .lock()
    .catch(() => {})
  await waits(two.net, name)
  const { id } = await one.etcd.lease.grant(60)
  await one.etcd.put(`${name}/${id.toString(16)}`, '', { lease: id })
  const holder = await view.holder()
  t.is(holder?.owner, 'first')
  t.is(holder?.pid, process.pid)
  t.is(typeof holder?.host, 'string')
  t.true(holder!.ageMs! >= 0 && holder!.ageMs! < 60_000)
  t.true(Math.abs(Date.now() - holder!.sinceMs!) < 60_000)
  t.is(holder?.createRevision, hold.fencingToken)
  t.false(holder?.foreign)
  const [quietOne, goStyle, ...none] = await two.session.mutex(name).waiters()
  t.deepEqual(none, [])
  t.is(quietOne?.leaseId, two.session.leaseId)
  t.is(goStyle?.leaseId, id)
  for (const silent of [quietOne, goStyle]) {
    t.false(silent?.foreign)
    t.is(silent?.owner, undefined)
    t.is(silent?.ageMs, undefined)
    t.is(silent?.sinceMs, undefined)
  }
  await one.etcd.lease.revoke(id)
})

test('names are bytes: whatever is no misuse is a lock of its own', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const root = uniquePrefix(t)
  const names = [
    '..',
    '__proto__',
    'constructor',
    ' ',
    'a\u0000b',
    'a\u0000',
    '🔒',
    'é',
    'e\u0301',
    '%2f',
    'x'.repeat(20_000),
  ].map(name => Buffer.from(root + name))
  names.push(Buffer.concat([Buffer.from(root), Buffer.of(0xff, 0xff)]), Buffer.of(0xff, 0xff, names.length))
  const holds = await Promise.all(names.map(name => session.mutex(name).lock()))
  t.is(new Set(holds.map(({ fencingToken }) => fencingToken)).size, names.length)
  for (const name of names) t.is((await etcd.mutex(name).holder())?.leaseId, session.leaseId)
  await Promise.all(holds.map(hold => hold.unlock()))
  for (const name of names) t.is(await etcd.mutex(name).holder(), undefined)
})

test('misuse is refused before any request', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const before = net.sent.length
  t.throws(() => session.mutex(''), { instanceOf: RangeError })
  t.throws(() => session.mutex(new Uint8Array(0)), { instanceOf: RangeError })
  t.throws(() => session.mutex('\ud800'), { instanceOf: TypeError })
  t.throws(() => session.mutex(1 as never), { instanceOf: TypeError })
  const mutex = session.mutex(nameOf(t))
  await t.throwsAsync(mutex.lock({ signal: 1 } as never), { instanceOf: TypeError })
  await t.throwsAsync(mutex.lock({ timeout: 1 } as never), { instanceOf: TypeError })
  await t.throwsAsync(mutex.tryLock({ wait: true } as never), { instanceOf: TypeError })
  t.is(net.sent.length, before)
})

test('a signal used a thousand times keeps no listener', async t => {
  const { session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const { signal } = new AbortController()
  let listeners = 0
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  Object.assign(signal, {
    addEventListener: (...args: Parameters<typeof add>) => {
      listeners += 1
      add(...args)
    },
    removeEventListener: (...args: Parameters<typeof remove>) => {
      listeners -= 1
      remove(...args)
    },
  })
  const hold = await session.mutex(name).lock()
  const many = Array.from({ length: 500 }, (_, n) =>
    session.mutex(`${name}${n % 50}`).run(() => n, { signal }),
  )
  const behind = Array.from({ length: 500 }, () => session.mutex(name).tryLock({ signal }))
  await Promise.all([...many, ...behind])
  t.is(listeners, 0)
  await hold.unlock()
})

function nameOf(t: ExecutionContext): string {
  t.context ??= {}
  const context = t.context as { name?: string }
  context.name ??= `${uniquePrefix(t)}lock`
  return context.name
}
