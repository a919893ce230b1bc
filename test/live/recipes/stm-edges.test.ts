import test from 'ava'
import { EtcdError, everything, prefix, type StmOptions, type Transaction } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { TxnRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import { creates, player, quiet, stateOf, testRuntime, turns } from '../../traits/arena.ts'
import { unhurried } from '../../traits/unhurried.ts'

const server = useEtcd(test)

test('a call that was aborted between two attempts runs no more and writes nothing', async t => {
  const node = testRuntime()
  const leave = new AbortController()
  const runtime = {
    ...node,
    random: () => 0.5,
    setTimer: (delayMs: number, action: () => void) => {
      // The first pause there is: after many conflicts.
      if (delayMs === 1) leave.abort(new Error('enough'))
      return node.setTimer(delayMs, action)
    },
  }
  const { etcd } = await player(t, server(), { runtime })
  const other = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  let runs = 0
  const running = etcd.stm(
    async tx => {
      runs += 1
      await tx.get(key)
      await other.etcd.put(key, `${runs}`)
      tx.put(key, 'mine')
    },
    { isolation: 'repeatable-reads', signal: leave.signal },
  )
  await t.throwsAsync(running, { message: 'enough' })
  const before = runs
  await new Promise(resolve => node.setTimer(20, () => resolve(undefined)))
  t.is(runs, before)
  t.is((await other.etcd.get(key))?.text(), `${before}`)
})

test('repeatable reads: what was read twice in different ways is the same at the commit', async t => {
  const { etcd } = await player(t, server())
  const other = await player(t, server())
  const p = uniquePrefix(t)
  await etcd.put(`${p}k`, '1')
  let runs = 0
  const { value } = await etcd.stm(
    async tx => {
      runs += 1
      const one = (await tx.get(`${p}k`))?.text()
      if (runs === 1) await other.etcd.put(`${p}k`, '5')
      const [again] = await tx.prefix(p)
      tx.put(`${p}k`, String(Number(one) + 1))
      return [one, again?.text()]
    },
    { isolation: 'repeatable-reads' },
  )
  t.deepEqual(value, ['5', '5'])
  t.is((await etcd.get(`${p}k`))?.text(), '6')
})

test('repeatable reads: two reads of different revisions that a snapshot read brought are no one state', async t => {
  const { etcd } = await player(t, server())
  const other = await player(t, server())
  const p = uniquePrefix(t)
  await etcd.put(`${p}a/k`, '1')
  await etcd.put(`${p}b/l`, '1')
  let runs = 0
  const { value } = await etcd.stm(
    async tx => {
      runs += 1
      await tx.snapshot.prefix(`${p}a/`)
      if (runs === 1) {
        await other.etcd.put(`${p}a/k`, '2')
        await other.etcd.put(`${p}b/l`, '2')
      }
      await tx.snapshot.prefix(`${p}b/`)
      return (await tx.getMany([`${p}a/k`, `${p}b/l`])).map(kv => kv?.text())
    },
    { isolation: 'repeatable-reads' },
  )
  t.deepEqual(value, ['2', '2'])
})

test('what was only read is not confirmed by a member that answers from the past', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  const write = (value: string) =>
    etcd.stm(tx => {
      for (const key of ['a', 'b']) tx.put(`${p}${key}`, value)
    })
  const { revision: past } = await write('1')
  let runs = 0
  const confirmations = net.stopRequests(
    methods.txn,
    ({ compare, success }) => compare.length > 0 && success.every(({ request }) => request?.kind === 'range'),
  )
  const reading = etcd.stm(
    async tx => {
      runs += 1
      const a = (await tx.get(`${p}a`))?.text()
      if (runs === 1) await write('2')
      return [a, (await tx.get(`${p}b`))?.text()]
    },
    { isolation: 'repeatable-reads' },
  )
  const confirmation = await confirmations.caught()
  confirmations.off()
  await confirmation.deliver({ header: { revision: past }, succeeded: true, responses: [] })
  t.deepEqual((await reading).value, ['2', '2'])
})

test('one that only read is known to have written nothing, also when nobody confirms what it read', async t => {
  const { etcd, net } = await player(t, server(), { requestTimeoutMs: 2000 })
  const p = uniquePrefix(t)
  const stopped = net.stopRequests(methods.txn, ({ compare }) => compare.length > 0)
  let runs = 0
  const reading = etcd.stm(
    async tx => {
      runs += 1
      await tx.get(`${p}a`)
      await etcd.put(`${p}c`, String(runs))
      await tx.get(`${p}b`)
    },
    { isolation: 'repeatable-reads' },
  )
  const error = await t.throwsAsync(reading, { instanceOf: EtcdError })
  t.is(error.outcome, 'not-sent')
  t.true(stopped.count > 0)
})

test('repeatable reads: nobody hears of an error found in a state that never was', async t => {
  const { etcd } = await player(t, server())
  const other = await player(t, server())
  const p = uniquePrefix(t)
  await etcd.stm(tx => {
    tx.put(`${p}a`, '1')
    tx.put(`${p}b`, '1')
  })
  let runs = 0
  const { value } = await etcd.stm(
    async tx => {
      runs += 1
      const a = (await tx.get(`${p}a`))?.text()
      if (runs === 1) {
        await other.etcd.stm(both => {
          both.put(`${p}a`, '2')
          both.put(`${p}b`, '2')
        })
      }
      const b = (await tx.get(`${p}b`))?.text()
      if (a !== b) throw new Error('never was')
      return a
    },
    { isolation: 'repeatable-reads' },
  )
  t.is(value, '2')
})

test('reading has no bound in the company of writers either', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  await Promise.all(Array.from({ length: 200 }, (_, index) => etcd.put(`${p}${index}`, 'x')))
  const trap = net.stopRequests(methods.txn, writes)
  const write = etcd.stm(async tx => {
    await tx.get(`${p}7`)
    tx.put(`${p}7`, 'y')
  })
  const commit = await trap.caught()
  trap.off()
  const count = etcd.stm(async tx => (await tx.prefix(p)).length)
  const thrower = etcd.stm(async tx => {
    await tx.prefix(p)
    throw new Error('all read')
  })
  const thrown = t.throwsAsync(thrower, { message: 'all read' })
  await quiet(net)
  await commit.deliver()
  await write
  t.is((await count).value, 200)
  await thrown
})

test('a chain of reads gets its turn among those that write what it reads', async t => {
  t.timeout(60_000)
  const { etcd } = await player(t, server())
  const p = uniquePrefix(t)
  for (let round = 0; round < 5; round++) {
    for (let index = 0; index < 20; index++)
      await etcd.put(`${p}${round}/${index}`, `${p}${round}/${index + 1}`)
  }
  let isOver = false
  const crowd = Array.from({ length: 8 }, async () => {
    while (!isOver) {
      await etcd.stm(async tx => {
        const next = Number((await tx.get(`${p}hot`))?.text() ?? 0) + 1
        tx.put(`${p}hot`, String(next))
      })
    }
  })
  const follow = async (round: number) => {
    const { value, attempts } = await etcd.stm(async tx => {
      const hot = Number((await tx.get(`${p}hot`))?.text() ?? 0)
      let key = `${p}${round}/0`
      let length = 0
      for (let found = await tx.get(key); found !== undefined; found = await tx.get(key)) {
        key = found.text()
        length += 1
      }
      tx.put(`${p}hot`, String(hot + 1))
      return length
    })
    t.is(value, 20)
    return attempts
  }
  const attempts: number[] = []
  try {
    for (let round = 0; round < 5; round++) attempts.push(await follow(round))
  } finally {
    isOver = true
    await Promise.all(crowd)
  }

  // A batch stops for it eight times; then it reads by itself, and comes back with what it knows.
  t.true(Math.max(...attempts) <= 20, `${attempts}`)
})

test('many with one attempt each are all committed when nobody else writes', async t => {
  const { etcd } = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  const inc = (idleMs: number) =>
    etcd.stm(
      async tx => {
        const next = Number((await tx.get(key))?.text() ?? 0) + 1
        if (idleMs > 0) await new Promise(resolve => setTimeout(resolve, idleMs))
        tx.put(key, String(next))
      },
      { maxAttempts: 1 },
    )
  const results = await Promise.allSettled(Array.from({ length: 40 }, () => inc(0)))
  t.deepEqual(
    results.filter(({ status }) => status === 'rejected'),
    [],
  )
  t.is((await etcd.get(key))?.text(), '40')
})

test('a commit that is late is refused for the one at fault alone', async t => {
  const runtime = testRuntime()
  const { etcd, net } = await player(t, server(), { runtime })
  const key = `${uniquePrefix(t)}k`
  const inc = (lease?: bigint) =>
    etcd.stm(async tx => {
      const next = Number((await tx.get(key))?.text() ?? 0) + 1
      tx.put(key, String(next))
      if (lease !== undefined) tx.put(`${key}/leased`, 'x', { lease })
    })
  const trap = net.stopRequests(methods.txn, writes)
  const first = inc()
  const firstCommit = await trap.caught(1)
  const all = [inc(), inc(4242n), inc()]
  const refused = t.throwsAsync(all[1]!, { code: 'LEASE_NOT_FOUND' })
  await quiet(net)
  await firstCommit.deliver()
  const second = await trap.caught(2)
  const late = inc()
  await quiet(net)
  runtime.fire(1000)
  trap.off()
  await second.deliver()
  await Promise.all([first, all[0], all[2], late])
  await refused
  t.is((await etcd.get(key))?.text(), '4')
})

test('one at fault is found in a large batch by few requests', async t => {
  const { etcd, net } = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  const inc = (lease?: bigint) =>
    etcd.stm(async tx => {
      tx.put(key, String(Number((await tx.get(key))?.text() ?? 0) + 1))
      if (lease !== undefined) tx.put(`${key}/leased`, 'x', { lease })
    })
  const trap = net.stopRequests(methods.txn, writes)
  const first = inc()
  const commit = await trap.caught()
  trap.off()
  const refused = t.throwsAsync(inc(4242n), { code: 'LEASE_NOT_FOUND' })
  const others = Array.from({ length: 63 }, () => inc())
  await quiet(net)
  const before = net.count(methods.txn)
  await commit.deliver()
  await Promise.all([first, refused, ...others])
  t.is((await etcd.get(key))?.text(), '64')
  t.true(net.count(methods.txn) - before <= 32, `${net.count(methods.txn) - before}`)
})

test('one that failed before its first read got its turn hears of it when the batch lets go of it', async t => {
  const runtime = testRuntime()
  const { etcd, net } = await player(t, server(), { runtime })
  const key = `${uniquePrefix(t)}k`
  const trap = net.stopRequests(methods.txn, creates(key))
  const first = etcd.stm(tx => tx.put(key, '1'))
  const commit = await trap.caught()
  trap.off()
  const failing = t.throwsAsync(
    etcd.stm(tx => Promise.all([tx.get(key), Promise.reject(new Error('at once'))])),
    { message: 'at once' },
  )
  await turns()
  runtime.fire(1000)
  await failing
  await commit.deliver()
  await first
})

test('one that has written nothing does not share in the doubt of its batch', async t => {
  const { etcd, net } = await player(t, server(), { runtime: unhurried() })
  const key = `${uniquePrefix(t)}k`
  const inc = () =>
    etcd.stm(async tx => {
      const next = Number((await tx.get(key))?.text() ?? 0) + 1
      tx.put(key, String(next))
    })
  const trap = net.stopRequests(methods.txn, writes)
  const first = inc()
  const firstCommit = await trap.caught(1)
  const writer = t.throwsAsync(inc(), { instanceOf: EtcdError })
  const reader = etcd.stm(async tx => (await tx.get(key))?.text())
  const thrower = etcd.stm(async tx => {
    throw new Error((await tx.get(key))?.text())
  })
  const thrown = t.throwsAsync(thrower, { message: '2' })
  await quiet(net)
  await firstCommit.deliver()
  const second = await trap.caught(2)
  trap.off()
  await second.apply()
  second.lose()
  await first
  t.is(((await writer) as EtcdError).outcome, 'unknown')
  t.is((await reader).value, '2')
  await thrown
})

test('the transaction of a branch is of no use after the branch', async t => {
  const { etcd } = await player(t, server())
  const p = uniquePrefix(t)
  await etcd.stm(async tx => {
    let kept: Transaction | undefined
    await tx.orElse(
      one => {
        kept = one
        one.put(`${p}a`, 'x')
      },
      () => {},
    )
    t.throws(() => kept?.put(`${p}b`, 'x'), { instanceOf: TypeError, message: /over/ })
    t.throws(() => kept?.delete(`${p}a`), { instanceOf: TypeError, message: /over/ })
    t.throws(() => kept?.afterCommit(() => {}), { instanceOf: TypeError, message: /over/ })
    await t.throwsAsync(async () => kept?.get(`${p}a`), { instanceOf: TypeError, message: /over/ })
  })
  t.deepEqual(
    (await etcd.range(prefix(p))).kvs.map(kv => kv.name()),
    [`${p}a`],
  )
})

test('a range with a limit is full although something of it was deleted while it was read', async t => {
  const { etcd } = await player(t, server())
  const p = uniquePrefix(t)
  for (const name of ['a', 'b', 'c']) await etcd.put(`${p}${name}`, name)
  const { value } = await etcd.stm(async tx => {
    tx.put(`${p}z`, 'z')
    const reading = tx.prefix(p, { limit: 1 })
    await tx.get(`${p}z`)
    tx.delete(`${p}a`)
    return (await reading).map(kv => kv.text())
  })
  t.is(value.length, 1)
})

test('what is deleted and put again counts as one write', async t => {
  const { etcd } = await player(t, server())
  const p = uniquePrefix(t)
  await etcd.stm(tx => {
    for (let index = 0; index < 128; index++) {
      tx.delete(`${p}${index}`)
      tx.put(`${p}${index}`, 'x')
    }
  })
  t.is((await etcd.range(prefix(p))).count, 128)
})

test('one that leaves while its batch waits for a lease of markers writes nothing', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  const trap = net.stopRequests(methods.leaseGrant)
  const leave = new AbortController()
  const running = etcd.stm(tx => tx.put(`${p}k`, 'x'), {
    exactlyOnce: { prefix: `${p}markers/` },
    signal: leave.signal,
  })
  const refused = t.throwsAsync(running, { message: 'enough' })
  const grant = await trap.caught()
  leave.abort(new Error('enough'))
  await refused
  await grant.deliver()
  await quiet(net)
  t.is((await etcd.range(prefix(p))).count, 0)
})

test('whoever leaves a batch that is not sent yet leaves the others in it', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  const key = `${p}k`
  const add = (amount: number, options: StmOptions = {}) =>
    etcd.stm(async tx => {
      tx.put(key, String(Number((await tx.get(key))?.text() ?? 0) + amount))
    }, options)
  const trap = net.stopRequests(methods.txn, writes)
  const first = add(1)
  const commit = await trap.caught()
  trap.off()
  const grants = net.stopRequests(methods.leaseGrant)
  const leave = new AbortController()
  const exactlyOnce = { prefix: `${p}markers/` }
  const leaver = t.throwsAsync(add(10, { exactlyOnce, signal: leave.signal }), { message: 'enough' })
  const stayers = [add(100), add(1000, { exactlyOnce })]
  await quiet(net)
  await commit.deliver()
  const grant = await grants.caught()
  leave.abort(new Error('enough'))
  await leaver
  await grant.deliver()
  await Promise.all([first, ...stayers])
  t.is((await etcd.get(key))?.text(), '1101')
})

test('whoever a batch waiting for a lease of markers has let go does not travel with it', async t => {
  const runtime = testRuntime()
  const { etcd, net } = await player(t, server(), { runtime })
  const p = uniquePrefix(t)
  const exactlyOnce = { prefix: `${p}markers/` }
  await etcd.put(`${p}a`, '1')
  await etcd.put(`${p}b`, '1')
  const turnOff = (name: string) =>
    etcd.stm(
      async tx => {
        const both = [(await tx.get(`${p}a`))?.text(), (await tx.get(`${p}b`))?.text()]
        if (both.every(value => value === '1')) tx.put(`${p}${name}`, '0')
      },
      { exactlyOnce },
    )
  const grants = net.stopRequests(methods.leaseGrant)
  const first = turnOff('a')
  const grant = await grants.caught()
  const second = turnOff('b')
  await quiet(net)
  runtime.fire(1000)
  await quiet(net)
  await grant.deliver()
  await Promise.all([first, second])
  const left = await Promise.all(['a', 'b'].map(async name => (await etcd.get(`${p}${name}`))?.text()))
  t.deepEqual(left.toSorted(), ['0', '1'])
})

test('one that stepped aside and was aborted writes nothing', async t => {
  const { etcd, net } = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  const inc = (wait?: Promise<unknown>, options: StmOptions = {}) =>
    etcd.stm(async tx => {
      const next = Number((await tx.get(key))?.text() ?? 0) + 1
      await wait
      tx.put(key, String(next))
      return next
    }, options)
  const trap = net.stopRequests(methods.txn, writes)
  const first = inc()
  const one = await trap.caught(1)
  const leave = new AbortController()
  const second = inc()
  let open = () => {}
  const gate = new Promise<void>(resolve => {
    open = resolve
  })
  const aside = t.throwsAsync(inc(gate, { signal: leave.signal }), { message: 'enough' })
  await quiet(net)
  await one.deliver()
  const two = await trap.caught(2)
  open()
  await quiet(net)
  leave.abort(new Error('enough'))
  await aside
  trap.off()
  await two.deliver()
  await Promise.all([first, second])
  await quiet(net)
  t.is((await etcd.get(key))?.text(), '2')
})

test('one that stepped aside deletes nothing of a range that others wrote beside its batch', async t => {
  const { etcd, net } = await player(t, server())
  const other = await player(t, server())
  const p = uniquePrefix(t)
  const key = `${p}hot`
  const inc = (also: (tx: Transaction) => unknown = () => {}) =>
    etcd.stm(async tx => {
      tx.put(key, String(Number((await tx.get(key))?.text() ?? 0) + 1))
      await also(tx)
    })
  const trap = net.stopRequests(methods.txn, writes)
  const first = inc()
  const one = await trap.caught(1)
  const second = inc(tx => tx.put(`${p}range/a`, 'of the batch'))
  let open = () => {}
  const gate = new Promise<void>(resolve => {
    open = resolve
  })
  const aside = inc(async tx => {
    await gate
    tx.deletePrefix(`${p}range/`)
  })
  await quiet(net)
  await one.deliver()
  const two = await trap.caught(2)
  trap.off()
  await other.etcd.put(`${p}range/b`, 'of somebody else')
  await two.deliver()
  await second
  open()
  // At the level at which nothing is overwritten unseen, it begins anew where both are there.
  t.is((await aside).attempts, 2)
  await first
  t.is((await etcd.get(key))?.text(), '3')
  t.is((await etcd.range(prefix(`${p}range/`))).count, 0)
})

test('one that stepped aside does not overwrite what one behind it in its batch has written', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  const hot = `${p}hot`
  const key = `${p}k`
  for (const [behind, runs] of [
    ['writes the same key', 2],
    ['writes something else', 1],
  ] as const) {
    const trap = net.stopAnswers(methods.txn, creates(hot))
    const first = etcd.stm(tx => tx.put(hot, behind))
    const commit = await trap.caught()
    trap.off()
    const put = (name: string, value: string) =>
      etcd.stm(async tx => {
        await tx.get(hot)
        tx.put(name, value)
      })
    const before = put(key, 'of one before')
    let open = () => {}
    const gate = new Promise<void>(resolve => {
      open = resolve
    })
    const aside = etcd.stm(async tx => {
      await tx.get(hot)
      await gate
      tx.put(key, 'of the one aside')
    })
    const after = put(behind === 'writes the same key' ? key : `${key}2`, 'of one behind')
    await quiet(net)
    await commit.deliver()
    await Promise.all([first, before, after])
    open()
    t.is((await aside).attempts, runs, behind)
    t.is((await etcd.get(key))?.text(), 'of the one aside')
  }
})

test('a snapshot read in a batch is not older than its call', async t => {
  const { etcd, net } = await player(t, server())
  const other = await player(t, server())
  const p = uniquePrefix(t)
  for (const knows of ['the batch knows it', 'the batch has to read it']) {
    for (const when of ['in its turn', 'after it stepped aside']) {
      const name = `${knows}, ${when}`
      const hot = `${p}${name}/hot`
      const config = `${p}${name}/config`
      await etcd.put(config, 'old')
      let open = () => {}
      const gate = new Promise<void>(resolve => {
        open = resolve
      })
      const held = net.stopAnswers(methods.txn, creates(hot))
      const first = etcd.stm(async tx => {
        if (knows === 'the batch knows it') await tx.get(config)
        tx.put(hot, '1')
      })
      const commit = await held.caught()
      held.off()
      // Nothing this client has heard of tells of it.
      await other.etcd.put(config, 'new')
      const second = etcd.stm(async tx => {
        await tx.get(hot)
        if (when === 'after it stepped aside') await gate
        const value = (await tx.snapshot.get(config))?.text()
        tx.put(hot, '2')
        return value
      })
      await quiet(net)
      await commit.deliver()
      if (when === 'after it stepped aside') {
        await new Promise(resolve => setTimeout(resolve, 20))
        open()
      }
      const { value, attempts } = await second
      await first
      t.is(value, 'new', name)
      t.is(attempts, 2, name)
    }
  }
})

test('snapshot reads among those that write without a pause get their turn', async t => {
  t.timeout(60_000)
  const { etcd } = await player(t, server())
  const p = uniquePrefix(t)
  await etcd.put(`${p}config`, '1')
  const attempts: number[] = []
  await Promise.all(
    Array.from({ length: 8 }, async (_, task) => {
      for (let round = 0; round < 10; round++) {
        const result = await etcd.stm(async tx => {
          const hot = Number((await tx.get(`${p}hot`))?.text() ?? 0)
          const step = task % 2 === 0 ? 1 : Number((await tx.snapshot.get(`${p}config`))?.text())
          tx.put(`${p}hot`, String(hot + step))
        })
        attempts.push(result.attempts)
      }
    }),
  )
  t.is((await etcd.get(`${p}hot`))?.text(), '80')
  // In a batch that is too old, by itself, and with those it meets at its commit, once they know what it reads.
  t.true(Math.max(...attempts) <= 20, `${attempts}`)
})

test('a lease of markers that is gone costs an attempt, not the transaction', async t => {
  const { etcd } = await player(t, server())
  const p = uniquePrefix(t)
  const exactlyOnce = { prefix: `${p}markers/` }
  await etcd.stm(tx => tx.put(`${p}a`, 'x'), { exactlyOnce })
  const { kvs } = await etcd.range(prefix(`${p}markers/`))
  await etcd.lease.revoke(kvs[0]!.lease)
  await etcd.stm(tx => tx.put(`${p}b`, 'x'), { exactlyOnce })
  t.true((await etcd.get(`${p}b`)) !== undefined)
  await t.throwsAsync(
    etcd.stm(tx => tx.put(`${p}c`, 'x', { lease: 4242n }), { exactlyOnce }),
    { code: 'LEASE_NOT_FOUND' },
  )
})

test('a transaction that would delete its own markers is refused, and alone', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  const inside = etcd.namespace(p)
  await inside.put('k', '0')
  const before = net.count(methods.txn)
  await t.throwsAsync(
    inside.stm(tx => tx.delete(everything), { exactlyOnce: true }),
    { instanceOf: RangeError, message: /markers below/ },
  )
  t.is(net.count(methods.txn), before)
  const trap = net.stopRequests(methods.txn, writes)
  const inc = () =>
    inside.stm(async tx => {
      tx.put('k', String(Number((await tx.get('k'))?.text()) + 1))
    })
  const first = inc()
  const commit = await trap.caught()
  trap.off()
  const second = inc()
  const refused = t.throwsAsync(
    inside.stm(
      async tx => {
        await tx.get('k')
        tx.deletePrefix('quorate/')
      },
      { exactlyOnce: true },
    ),
    { instanceOf: RangeError },
  )
  await quiet(net)
  await commit.deliver()
  await Promise.all([first, second, refused])
  t.is((await inside.get('k'))?.text(), '2')
  await inside.stm(tx => tx.deletePrefix('k'), { exactlyOnce: true })
  t.is(await inside.get('k'), undefined)
})

test('orElse takes two functions', async t => {
  const { etcd } = await player(t, server())
  await t.throwsAsync(
    etcd.stm(tx => tx.orElse(() => 1, undefined as never)),
    { instanceOf: TypeError },
  )
})

test('clients that change one key without a pause take turns', async t => {
  t.timeout(60_000)
  const players = [await player(t, server()), await player(t, server())]
  const key = `${uniquePrefix(t)}k`
  const made = [0, 0]
  let isOver = false
  await Promise.all(
    players.map(async ({ etcd }, index) => {
      for (let round = 0; round < 300 && !isOver; round++) {
        await etcd.stm(async tx => {
          tx.put(key, String(Number((await tx.get(key))?.text() ?? 0) + 1))
        })
        made[index]! += 1
      }
      isOver = true
    }),
  )
  t.is(Number((await players[0]!.etcd.get(key))?.text()), made[0]! + made[1]!)
  // The one that is done first has let the other go first now and then.
  t.true(Math.min(...made) >= 60, `${made}`)
})

test('a retry whose event was lost looks for itself after a while', async t => {
  const runtime = testRuntime()
  const { etcd, net } = await player(t, server(), { runtime })
  const key = `${uniquePrefix(t)}k`
  const waiting = etcd.stm(async tx => tx.check(await tx.get(key)).text())
  await net.watching(watch => mapKey(watch.key) === key)
  const dropped = net.dropEvents(({ kv }) => mapKey(kv!.key) === key)
  await etcd.put(key, 'x')
  await dropped.caught()
  t.is(await stateOf(waiting), 'pending')
  t.is(runtime.fire(30_000), 1)
  t.is((await waiting).value, 'x')
  await quiet(net)
  t.is(runtime.pending(30_000), 0)
})

test('a read that nobody waits for any more, since another has failed, is no unhandled rejection', async t => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown) => void unhandled.push(reason)
  process.on('unhandledRejection', listener)
  t.teardown(() => process.off('unhandledRejection', listener))
  const { etcd, net } = await player(t, server(), { requestTimeoutMs: 2000 })
  const p = uniquePrefix(t)
  const both = async (tx: Transaction) => {
    const reads = [
      tx.get(`${p}a`),
      tx.prefix(`${p}b/`),
      tx.has(`${p}c`),
      tx.revision(`${p}d`),
      tx.getMany([`${p}e`]),
    ]
    for (const read of reads) await read
    tx.put(`${p}a`, 'x')
  }
  const stopped = net.stopRequests(methods.txn)
  const leave = new AbortController()
  const left = t.throwsAsync(etcd.stm(both, { signal: leave.signal }), { message: 'enough' })
  const late = await stopped.caught()
  leave.abort(new Error('enough'))
  await left
  await late.deliver()
  await turns()
  t.deepEqual(unhandled, [], 'the caller has left')

  await t.throwsAsync(etcd.stm(both), { instanceOf: EtcdError })
  await turns()
  t.deepEqual(unhandled, [], 'nobody answered')
  stopped.off()

  // In the batch behind another, which has read nothing of it.
  const held = net.stopAnswers(methods.txn, creates(`${p}hot`))
  const first = etcd.stm(tx => tx.put(`${p}hot`, '1'))
  const commit = await held.caught()
  held.off()
  const second = etcd.stm(async tx => {
    await tx.get(`${p}hot`)
    await both(tx)
  })
  await turns()
  await commit.deliver()
  await Promise.all([first, second])
  await turns()
  t.deepEqual(unhandled, [], 'it runs again')

  // Not even the function waits for it, which is over before the read gets its turn.
  const heldToo = net.stopAnswers(methods.txn, creates(`${p}hot`))
  const third = etcd.stm(tx => tx.put(`${p}hot`, '3'))
  const commitToo = await heldToo.caught()
  heldToo.off()
  const careless = t.throwsAsync(
    etcd.stm(tx => {
      void tx.get(`${p}hot`)
      throw new Error('at once')
    }),
    { message: 'at once' },
  )
  await turns()
  await commitToo.deliver()
  await Promise.all([third, careless])
  await turns()
  t.deepEqual(unhandled, [], 'the run is over')
})

/** Is this a commit that puts something? */
function writes({ success }: TxnRequest): boolean {
  return success.some(({ request }) => request?.kind === 'put')
}
