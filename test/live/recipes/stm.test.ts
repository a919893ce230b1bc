import test from 'ava'
import { grpcTransport } from '../../../src/client/grpc-transport.ts'
import {
  between,
  connect,
  EtcdError,
  type Isolation,
  prefix,
  type StmOptions,
  type Transaction,
  type Transport,
} from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { TxnRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import { player, quiet, stateOf, turns } from '../../traits/arena.ts'
import { unhurried } from '../../traits/unhurried.ts'

const server = useEtcd(test)

const LEVELS: readonly Isolation[] = [
  'serializable-snapshot',
  'serializable',
  'repeatable-reads',
  'read-committed',
]

const FUTURE = {
  status: 11,
  message: 'etcdserver: mvcc: required revision is a future revision',
  sent: true,
} as const

test('a transaction reads what it wrote, in single keys and in ranges', async t => {
  const { etcd } = await player(t, server())
  const p = uniquePrefix(t)
  await etcd.put(`${p}a`, '1')
  await etcd.put(`${p}b`, '2')
  await etcd.put(`${p}d`, '4')
  const { value } = await etcd.stm(async tx => {
    tx.put(`${p}a`, 'one')
    tx.delete(`${p}b`)
    tx.put(`${p}c`, 'three')
    const seen = {
      a: (await tx.get(`${p}a`))?.text(),
      b: await tx.has(`${p}b`),
      all: (await tx.prefix(p)).map(({ key, value: bytes }) => [mapKey(key).slice(p.length), mapKey(bytes)]),
      two: (await tx.prefix(p, { limit: 2 })).map(kv => kv.text()),
    }
    tx.deletePrefix(p)
    tx.put(`${p}z`, 'last')
    return { ...seen, after: (await tx.prefix(p)).map(kv => kv.text()) }
  })
  t.deepEqual(value, {
    a: 'one',
    b: false,
    all: [
      ['a', 'one'],
      ['c', 'three'],
      ['d', '4'],
    ],
    two: ['one', 'three'],
    after: ['last'],
  })
  t.deepEqual(
    (await etcd.range(prefix(p))).kvs.map(kv => kv.text()),
    ['last'],
  )
})

test('the result tells the revision of the commit, and what follows it is called once with it', async t => {
  const { etcd } = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  const told: bigint[] = []
  const { revision, value, attempts } = await etcd.stm(async tx => {
    tx.afterCommit(at => told.push(at))
    tx.put(key, 'v')
    return (await tx.revision(key)) + 1n
  })
  t.is((await etcd.get(key))?.modRevision, revision)
  t.is(value, 1n)
  t.is(attempts, 1)
  t.deepEqual(told, [revision])
  const again = await etcd.stm(tx => tx.revision(key))
  t.is(again.value, revision)
})

test('all reads of a tick, of one transaction and of others, are one request', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  const before = net.count(methods.txn)
  await Promise.all([
    etcd.stm(tx => tx.getMany([`${p}a`, `${p}b`, `${p}c`])),
    etcd.stm(tx => Promise.all([tx.get(`${p}a`), tx.prefix(p)])),
  ])
  t.is(net.count(methods.txn) - before, 1)
})

test('reading costs no commit at the levels that need none, and one write costs one', async t => {
  const { etcd, net } = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  for (const isolation of LEVELS) {
    const before = net.count(methods.txn)
    await etcd.stm(tx => tx.get(key), { isolation })
    t.is(net.count(methods.txn) - before, 1, isolation)
  }
  const before = net.count(methods.txn)
  await etcd.stm(async tx => {
    tx.put(key, String((await tx.get(key))?.text()))
  }, {})
  t.is(net.count(methods.txn) - before, 2)
})

test('a conflict brings the fresh values with it: the second run reads nothing', async t => {
  const { etcd, net } = await player(t, server())
  const other = await player(t, server())
  const p = uniquePrefix(t)
  await etcd.put(`${p}list/a`, '1')
  const before = net.count(methods.txn)
  const seen: unknown[] = []
  const { attempts } = await etcd.stm(async tx => {
    seen.push([(await tx.get(`${p}k`))?.text(), (await tx.prefix(`${p}list/`)).length])
    if (seen.length === 1) {
      await other.etcd.put(`${p}k`, 'new')
      await other.etcd.put(`${p}list/b`, '2')
    }
    tx.put(`${p}out`, 'x')
  })
  t.is(attempts, 2)
  t.deepEqual(seen, [
    [undefined, 1],
    ['new', 2],
  ])
  // Two reads one after the other, a commit, and another commit.
  t.is(net.count(methods.txn) - before, 4)
})

/** What happens at which level: how often the transaction has to run. */
const ANOMALIES: readonly {
  readonly title: string
  readonly runs: Readonly<Record<Isolation, number>>
  /** Meddles once, at `meddle`. */
  readonly fn: (tx: Transaction, p: string, meddle: () => Promise<unknown>) => Promise<void>
  readonly meddle: (etcd: Meddler, p: string) => Promise<unknown>
}[] = [
  {
    title: 'lost update: each level does what it says',
    runs: { 'serializable-snapshot': 2, serializable: 2, 'repeatable-reads': 2, 'read-committed': 1 },
    fn: async (tx, p, meddle) => {
      const value = await tx.get(`${p}a`)
      await meddle()
      tx.put(`${p}a`, `${value?.text()}+`)
    },
    meddle: (etcd, p) => etcd.put(`${p}a`, 'other'),
  },
  {
    title: 'two who create the same key: each level does what it says',
    runs: { 'serializable-snapshot': 2, serializable: 2, 'repeatable-reads': 2, 'read-committed': 1 },
    fn: async (tx, p, meddle) => {
      if (await tx.has(`${p}new`)) return
      await meddle()
      tx.put(`${p}new`, 'mine')
    },
    meddle: (etcd, p) => etcd.put(`${p}new`, 'other'),
  },
  {
    title: 'write skew: each level does what it says',
    runs: { 'serializable-snapshot': 2, serializable: 2, 'repeatable-reads': 2, 'read-committed': 1 },
    fn: async (tx, p, meddle) => {
      await tx.getMany([`${p}a`, `${p}b`])
      await meddle()
      tx.put(`${p}a`, 'off duty')
    },
    meddle: (etcd, p) => etcd.put(`${p}b`, 'off duty'),
  },
  {
    title: 'phantom insert: each level does what it says',
    runs: { 'serializable-snapshot': 2, serializable: 2, 'repeatable-reads': 1, 'read-committed': 1 },
    fn: async (tx, p, meddle) => {
      await tx.prefix(`${p}list/`)
      await meddle()
      tx.put(`${p}sum`, 'x')
    },
    meddle: (etcd, p) => etcd.put(`${p}list/new`, 'x'),
  },
  {
    title: 'phantom delete: each level does what it says',
    runs: { 'serializable-snapshot': 2, serializable: 2, 'repeatable-reads': 2, 'read-committed': 1 },
    fn: async (tx, p, meddle) => {
      await tx.prefix(`${p}list/`)
      await meddle()
      tx.put(`${p}sum`, 'x')
    },
    meddle: (etcd, p) => etcd.delete(`${p}list/one`),
  },
  {
    title: 'overwriting what was not read: each level does what it says',
    runs: { 'serializable-snapshot': 2, serializable: 1, 'repeatable-reads': 1, 'read-committed': 1 },
    fn: async (tx, p, meddle) => {
      await tx.get(`${p}a`)
      await meddle()
      tx.put(`${p}blind`, 'x')
    },
    meddle: (etcd, p) => etcd.put(`${p}blind`, 'other'),
  },
  {
    title: 'change of something else: each level does what it says',
    runs: { 'serializable-snapshot': 1, serializable: 1, 'repeatable-reads': 1, 'read-committed': 1 },
    fn: async (tx, p, meddle) => {
      await tx.get(`${p}a`)
      await tx.prefix(`${p}list/`)
      await tx.snapshot.get(`${p}loose`)
      await meddle()
      tx.put(`${p}a`, 'x')
    },
    meddle: async (etcd, p) => {
      await etcd.put(`${p}list`, 'x')
      await etcd.put(`${p}loose`, 'x')
    },
  },
]

type Meddler = Awaited<ReturnType<typeof player>>['etcd']

for (const { title, runs, fn, meddle } of ANOMALIES) {
  test(title, async t => {
    const { etcd } = await player(t, server())
    const other = await player(t, server())
    for (const isolation of LEVELS) {
      const p = `${uniquePrefix(t)}${isolation}/`
      await etcd.put(`${p}a`, '1')
      await etcd.put(`${p}b`, '2')
      await etcd.put(`${p}list/one`, 'x')
      let meddled = false
      const { attempts } = await etcd.stm(
        tx =>
          fn(tx, p, async () => {
            if (meddled) return
            meddled = true
            await meddle(other.etcd, p)
          }),
        { isolation },
      )
      t.is(attempts, runs[isolation], isolation)
    }
  })
}

test('read skew: seen by no run at the serializable levels, committed on at none but read-committed', async t => {
  const { etcd } = await player(t, server())
  const other = await player(t, server())
  for (const isolation of LEVELS) {
    const p = `${uniquePrefix(t)}${isolation}/`
    await other.etcd.stm(tx => {
      tx.put(`${p}a`, 'old')
      tx.put(`${p}b`, 'old')
    })
    const seen: string[] = []
    const { value } = await etcd.stm(
      async tx => {
        const a = (await tx.get(`${p}a`))?.text()
        if (seen.length === 0) {
          await other.etcd.stm(both => {
            both.put(`${p}a`, 'new')
            both.put(`${p}b`, 'new')
          })
        }
        const b = (await tx.get(`${p}b`))?.text()
        seen.push(`${a} ${b}`)
        return `${a} ${b}`
      },
      { isolation },
    )
    const expected: Record<Isolation, readonly [string, readonly string[]]> = {
      'serializable-snapshot': ['old old', ['old old']],
      serializable: ['old old', ['old old']],
      'repeatable-reads': ['new new', ['old new', 'new new']],
      'read-committed': ['old new', ['old new']],
    }
    t.deepEqual([value, seen], [...expected[isolation]], isolation)
  }
})

test('only the beginning of a range that was asked for counts as read', async t => {
  const { etcd } = await player(t, server())
  const other = await player(t, server())
  const p = uniquePrefix(t)
  for (const name of ['a', 'b', 'c', 'd']) await etcd.put(`${p}${name}`, name)
  let runs = 0
  const { value, attempts } = await etcd.stm(async tx => {
    const first = await tx.prefix(p, { limit: 2 })
    runs += 1
    if (runs === 1) await other.etcd.put(`${p}c`, 'changed')
    if (runs === 2) await other.etcd.put(`${p}aa`, 'between')
    tx.put('out', p)
    return first.map(kv => kv.text())
  })
  t.deepEqual(value, ['a', 'b'])
  t.is(attempts, 1)
})

test('transactions of one client on one key are committed together, and count', async t => {
  const { etcd, net } = await player(t, server())
  const key = `${uniquePrefix(t)}counter`
  const before = net.count(methods.txn)
  const results = await Promise.all(
    Array.from({ length: 64 }, () =>
      etcd.stm(async tx => {
        const next = Number((await tx.get(key))?.text() ?? 0) + 1
        tx.put(key, String(next))
        return next
      }),
    ),
  )
  t.is((await etcd.get(key))?.text(), '64')
  t.deepEqual(
    results.map(({ value }) => value).toSorted((one, other) => one - other),
    Array.from({ length: 64 }, (_, index) => index + 1),
  )
  // One read for all, one commit of the first, and as a rule one of the rest.
  t.true(net.count(methods.txn) - before <= 16)
  // Who counted further was committed no earlier.
  const inOrder = results.toSorted((one, other) => one.value - other.value).map(({ revision }) => revision)
  t.deepEqual(
    inOrder,
    inOrder.toSorted((one, other) => Number(one - other)),
  )
})

test('transactions that have nothing to do with each other are committed by one request', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  const before = net.count(methods.txn)
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      etcd.stm(async tx => {
        await tx.get(`${p}${index}`)
        tx.put(`${p}${index}`, 'x')
      }),
    ),
  )
  t.is(net.count(methods.txn) - before, 2)
  t.true(results.every(({ attempts }) => attempts === 1))
  t.is((await etcd.range(prefix(p))).count, 20)
})

test('one that fails in a batch fails alone, and leaves nothing', async t => {
  const { etcd } = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  const results = await Promise.allSettled(
    Array.from({ length: 12 }, (_, index) =>
      etcd.stm(async tx => {
        const next = Number((await tx.get(key))?.text() ?? 0) + 1
        tx.put(key, String(next))
        if (index % 3 === 2) throw new Error(`number ${index}`)
        if (index % 3 === 1) tx.put(`${key}/leased`, 'x', { lease: 4242n })
      }),
    ),
  )
  const told = results.map(result =>
    result.status === 'fulfilled'
      ? 'done'
      : EtcdError.is(result.reason)
        ? result.reason.code
        : result.reason.message,
  )
  t.deepEqual(
    told,
    Array.from({ length: 12 }, (_, index) =>
      index % 3 === 0 ? 'done' : index % 3 === 1 ? 'LEASE_NOT_FOUND' : `number ${index}`,
    ),
  )
  t.is((await etcd.get(key))?.text(), '4')
  t.is(await etcd.get(`${key}/leased`), undefined)
})

test('one that waits for something else holds up nobody in its batch, and counts all the same', async t => {
  const { etcd } = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  let open = () => {}
  const gate = new Promise<void>(resolve => {
    open = resolve
  })
  const inc = (wait?: Promise<void>) =>
    etcd.stm(async tx => {
      const next = Number((await tx.get(key))?.text() ?? 0) + 1
      await wait
      tx.put(key, String(next))
    })
  const first = inc()
  const slow = inc(gate)
  const rest = Array.from({ length: 10 }, () => inc())
  await Promise.all([first, ...rest])
  t.is((await etcd.get(key))?.text(), '11')
  t.is(await stateOf(slow), 'pending')
  open()
  await slow
  t.is((await etcd.get(key))?.text(), '12')
})

test('functions that take their time in the middle of a batch lose no update, and get their turn', async t => {
  t.timeout(60_000)
  const { etcd } = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  let fast = 0
  let isOver = false
  const inc = (wait: () => Promise<unknown>) =>
    etcd.stm(async tx => {
      const next = Number((await tx.get(key))?.text() ?? 0) + 1
      await wait()
      tx.put(key, String(next))
      return next
    })
  const crowd = Array.from({ length: 8 }, async () => {
    while (!isOver) {
      await inc(async () => {})
      fast += 1
    }
  })
  const slow = await Promise.all(
    [3, 5, 8].map(async ms => {
      const results: number[] = []
      for (let round = 0; round < 6; round++) {
        const { value } = await inc(() => new Promise(resolve => setTimeout(resolve, ms)))
        results.push(value)
      }
      return results
    }),
  )
  isOver = true
  await Promise.all(crowd)
  t.is(new Set(slow.flat()).size, 18)
  t.is(Number((await etcd.get(key))?.text()), fast + 18)
})

test('a chain of transfers through one client and another keeps the sum', async t => {
  t.timeout(60_000)
  const players = [await player(t, server()), await player(t, server())]
  const p = uniquePrefix(t)
  const accounts = Array.from({ length: 6 }, (_, index) => `${p}${index}`)
  await players[0]!.etcd.stm(tx => {
    for (const account of accounts) tx.put(account, '100')
  })
  const transfer = async (etcd: Meddler, seed: number) => {
    const from = accounts[seed % accounts.length]!
    const to = accounts[(seed * 7 + 1 + (seed % 3)) % accounts.length]!
    if (from === to) return
    await etcd.stm(async tx => {
      const [a, b] = await tx.getMany([from, to])
      const amount = Math.min(seed % 40, Number(a?.text()))
      tx.put(from, String(Number(a?.text()) - amount))
      tx.put(to, String(Number(b?.text()) + amount))
    })
  }
  const sums: number[] = []
  const sum = async (etcd: Meddler) => {
    const { value } = await etcd.stm(async tx =>
      (await tx.prefix(p)).reduce((all, kv) => all + Number(kv.text()), 0),
    )
    sums.push(value)
  }
  await Promise.all(
    players.flatMap(({ etcd }, one) =>
      Array.from({ length: 8 }, async (_, worker) => {
        for (let round = 0; round < 6; round++) {
          await transfer(etcd, one * 131 + worker * 17 + round * 5)
          if (round % 3 === 0) await sum(etcd)
        }
      }),
    ),
  )
  t.true(sums.length > 20)
  t.deepEqual([...new Set(sums)], [600])
})

test('retry waits until what was read changes, and wakes for ranges, too', async t => {
  const { etcd, net } = await player(t, server())
  const other = await player(t, server())
  const p = uniquePrefix(t)
  let runs = 0
  const waiting = etcd.stm(async tx => {
    runs += 1
    const first = tx.check((await tx.prefix(`${p}queue/`, { limit: 1 }))[0])
    tx.delete(first.key)
    return first.text()
  })
  await net.watching(({ key }) => mapKey(key) === `${p}queue/`)
  await other.etcd.put(`${p}elsewhere`, 'x')
  await turns()
  t.is(runs, 1)
  t.is(await stateOf(waiting), 'pending')
  await other.etcd.put(`${p}queue/1`, 'job')
  t.is((await waiting).value, 'job')
  t.is(runs, 2)
  await quiet(net)
  t.is(net.watches.filter(({ key }) => mapKey(key).startsWith(p)).length, 0)
})

test('a change between the read and the watch wakes a retry', async t => {
  const { etcd, net } = await player(t, server())
  const other = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  const { value } = await etcd.stm(async tx => {
    const found = await tx.get(key)
    if (found === undefined) {
      await other.etcd.put(key, 'there')
      return tx.retry()
    }
    return found.text()
  })
  t.is(value, 'there')
  t.pass(String(net.watches.length))
})

test('a retry in a batch is woken by the write of one behind it', async t => {
  // Before it looks for itself.
  t.timeout(20_000)
  const { etcd, net } = await player(t, server(), { runtime: unhurried() })
  const key = `${uniquePrefix(t)}k`
  const trap = net.stopAnswers(methods.txn, ({ success }: TxnRequest) =>
    success.some(({ request }) => request?.kind === 'put' && mapKey(request.value.key) === key),
  )
  const first = etcd.stm(tx => tx.put(key, 'begun'))
  const commit = await trap.caught()
  trap.off()
  // Both wait for what becomes of the first, and run in one batch then.
  const waiting = etcd.stm(async tx => {
    tx.check((await tx.get(key))?.text() === 'done')
    return 'woken'
  })
  const behind = etcd.stm(async tx => {
    await tx.get(key)
    tx.put(key, 'done')
  })
  await turns()
  await commit.deliver()
  await Promise.all([first, behind])
  t.is((await waiting).value, 'woken')
})

test('one that waits among many that write waits as long as it takes', async t => {
  t.timeout(60_000)
  const { etcd } = await player(t, server(), { runtime: unhurried() })
  const key = `${uniquePrefix(t)}k`
  const last = 1200
  const count = async (tx: Transaction) => Number((await tx.get(key))?.text() ?? 0)
  const waiting = etcd.stm(async tx => {
    tx.check((await count(tx)) >= last)
    return 'woken'
  })
  const writers = Array.from({ length: 4 }, async () => {
    for (let counted = 0; counted < last; ) {
      const { value } = await etcd.stm(async tx => {
        const next = (await count(tx)) + 1
        tx.put(key, String(next))
        return next
      })
      counted = value
    }
  })
  const [{ value, attempts }] = await Promise.all([waiting, ...writers])
  t.is(value, 'woken')
  t.true(attempts > 100, `${attempts}`)
})

test('orElse drops what the left side wrote, keeps what it read, and waits for both', async t => {
  const { etcd, net } = await player(t, server())
  const other = await player(t, server())
  const p = uniquePrefix(t)
  const take = (name: string) => async (tx: Transaction) => {
    tx.put(`${p}touched/${name}`, 'x')
    const found = tx.check(await tx.get(`${p}${name}`))
    tx.delete(`${p}${name}`)
    return found.text()
  }
  const waiting = etcd.stm(tx => tx.orElse(take('left'), take('right')))
  await net.watching(({ key }) => mapKey(key) === `${p}left`)
  await net.watching(({ key }) => mapKey(key) === `${p}right`)
  await other.etcd.put(`${p}right`, 'from the right')
  t.is((await waiting).value, 'from the right')
  t.deepEqual(
    (await etcd.range(prefix(`${p}touched/`))).kvs.map(kv => kv.name()),
    [`${p}touched/right`],
  )
  await other.etcd.put(`${p}left`, 'from the left')
  t.is((await etcd.stm(tx => tx.orElse(take('left'), take('right')))).value, 'from the left')
})

test('an abort ends a retry and a run at once, with its reason and without a trace', async t => {
  const { etcd, net } = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  const leave = new AbortController()
  const waiting = etcd.stm(
    async tx => {
      tx.check(await tx.get(key))
    },
    { signal: leave.signal },
  )
  await net.watching(watch => mapKey(watch.key) === key)
  leave.abort(new Error('enough'))
  await t.throwsAsync(waiting, { message: 'enough' })
  await quiet(net)
  t.is(net.watches.filter(watch => mapKey(watch.key) === key).length, 0)

  const stop = new AbortController()
  let left: unknown
  const running = etcd.stm(
    async tx => {
      tx.put(key, 'never')
      stop.abort(new Error('stopped'))
      try {
        await tx.get(`${key}2`)
      } catch (error) {
        left = error
      }
    },
    { signal: stop.signal },
  )
  await t.throwsAsync(running, { message: 'stopped' })
  await turns()
  t.true(left instanceof TypeError)
  t.is(await etcd.get(key), undefined)
})

test('a closed client rejects what waits and what comes', async t => {
  const { etcd, net } = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  const waiting = etcd.stm(async tx => {
    tx.check(await tx.get(key))
  })
  await net.watching(watch => mapKey(watch.key) === key)
  const refused = t.throwsAsync(waiting, { code: 'CLIENT_CLOSED' })
  await etcd.close()
  await refused
  await t.throwsAsync(
    etcd.stm(tx => tx.get(key)),
    { code: 'CLIENT_CLOSED' },
  )
})

test('attempts are bounded', async t => {
  const { etcd } = await player(t, server())
  const other = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  let runs = 0
  const error = await t.throwsAsync(
    etcd.stm(
      async tx => {
        await tx.get(key)
        runs += 1
        await other.etcd.put(key, String(runs))
        tx.put(key, 'mine')
      },
      { maxAttempts: 3 },
    ),
    { code: 'CONFLICT' },
  )
  t.is(runs, 3)
  t.is((error as EtcdError).outcome, 'rejected')
  t.is((await etcd.get(key))?.text(), '3')
})

test('what does not fit is refused before anything is written, and what makes it large is named', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  await Promise.all(Array.from({ length: 130 }, (_, index) => etcd.put(`${p}many/${index}`, 'x')))
  const before = net.count(methods.txn)
  const reads = await t.throwsAsync(
    etcd.stm(async tx => {
      await Promise.all([tx.prefix(`${p}many/`), tx.get(`${p}single`)])
      tx.put(`${p}out`, 'x')
    }),
    { code: 'TOO_MANY_OPERATIONS' },
  )
  t.regex(reads!.message, /many\/' with 130 keys, 1 single keys/)
  t.is(net.count(methods.txn) - before, 1)
  await t.throwsAsync(
    etcd.stm(tx => {
      for (let index = 0; index < 129; index++) tx.put(`${p}w/${index}`, 'x')
    }),
    { code: 'TOO_MANY_OPERATIONS', message: /129 writes/ },
  )
  await t.throwsAsync(
    etcd.stm(tx => tx.put(`${p}large`, new Uint8Array(2_000_000))),
    { code: 'TOO_LARGE' },
  )
  t.is((await etcd.range(prefix(p))).count, 130)
  // Reading alone has no such bound.
  t.is((await etcd.stm(async tx => (await tx.prefix(`${p}many/`)).length)).value, 130)
  const { attempts } = await etcd.stm(tx => {
    for (let index = 0; index < 128; index++) tx.put(`${p}w/${index}`, 'x')
  })
  t.is(attempts, 1)
})

test.serial('a base that is compacted under way starts the attempt again', async t => {
  const { etcd } = await player(t, server())
  const other = await player(t, server())
  const p = uniquePrefix(t)
  await etcd.put(`${p}a`, '1')
  let runs = 0
  const { value } = await etcd.stm(async tx => {
    runs += 1
    const a = await tx.get(`${p}a`)
    if (runs === 1) {
      const { revision } = await other.etcd.put(`${p}b`, 'x')
      await other.etcd.compact(revision)
    }
    return `${a?.text()} ${(await tx.get(`${p}b`))?.text()}`
  })
  t.is(value, '1 x')
  t.is(runs, 2)
})

test('a member that lags behind the base has the attempt made again', async t => {
  const inner = server().transport ?? grpcTransport()
  const isPinned = (request: Uint8Array) =>
    methods.txn.request
      .decode(request)
      .success.some(({ request: part }) => part?.kind === 'range' && part.value.revision > 0n)
  let refused = 0
  const lagging: Transport = {
    connect(endpoint, options, changed) {
      const link = inner.connect(endpoint, options, changed)
      return {
        get state() {
          return link.state
        },
        unary(path, request, metadata, settled) {
          if (path !== methods.txn.path || refused > 1 || !isPinned(request))
            return link.unary(path, request, metadata, settled)
          refused += 1
          setImmediate(() => settled({ kind: 'failure', failure: FUTURE }))
          return { cancel: () => {} }
        },
        stream: (path, metadata, events) => link.stream(path, metadata, events),
        close: () => link.close(),
      }
    },
  }
  const etcd = await connect(server().endpoints, { transport: lagging })
  t.teardown(() => etcd[Symbol.asyncDispose]())
  const p = uniquePrefix(t)
  await etcd.put(`${p}a`, '1')
  let runs = 0
  const { value } = await etcd.stm(async tx => {
    runs += 1
    await tx.get(`${p}a`)
    return (await tx.get(`${p}b`))?.text() ?? 'none'
  })
  t.is(value, 'none')
  t.is(refused, 2)
  t.is(runs, 3)
})

for (const { title, fate } of [
  {
    title: 'a commit without an answer that was applied: unknown, or found out with exactlyOnce',
    fate: 'applied',
  },
  {
    title: 'a commit without an answer that was never applied: unknown, or found out with exactlyOnce',
    fate: 'never applied',
  },
] as const) {
  test(title, async t => {
    const { etcd, net } = await player(t, server(), { requestTimeoutMs: 4000 })
    const p = uniquePrefix(t)
    const commits =
      (key: string) =>
      ({ success }: TxnRequest) =>
        success.some(({ request }) => request?.kind === 'put' && mapKey(request.value.key) === key)
    const run = async (key: string, options: StmOptions) => {
      const trap = net.stopRequests(methods.txn, commits(key))
      const running = etcd.stm(async tx => {
        const next = Number((await tx.get(key))?.text() ?? 0) + 1
        tx.put(key, String(next))
      }, options)
      running.catch(() => {})
      const call = await trap.caught()
      trap.off()
      if (fate === 'applied') await call.apply()
      call.lose()
      return running
    }
    await t.throwsAsync(run(`${p}plain`, {}), { instanceOf: EtcdError, message: /./ }).then(error => {
      t.is((error as EtcdError).outcome, 'unknown')
    })
    const { revision } = await run(`${p}once`, { exactlyOnce: { prefix: `${p}markers/` } })
    const stored = await etcd.get(`${p}once`)
    t.is(stored?.text(), '1')
    t.is(stored?.modRevision, revision)
  })
}

test('a transaction that could not read says that nothing was committed', async t => {
  const { etcd, net } = await player(t, server(), { requestTimeoutMs: 300 })
  const p = uniquePrefix(t)
  const trap = net.stopRequests(methods.txn, ({ success }: TxnRequest) =>
    success.some(({ request }) => request?.kind === 'range' && mapKey(request.value.key) === `${p}k`),
  )
  const running = etcd.stm(async tx => tx.put(`${p}k`, (await tx.get(`${p}k`))?.text() ?? 'x'))
  const rejected = t.throwsAsync<EtcdError>(running, { instanceOf: EtcdError })
  await trap.caught()
  t.is((await rejected)?.outcome, 'not-sent')
})

test('a commit that was given up can never be applied any more, however late it comes', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  const trap = net.stopRequests(methods.txn, ({ success }: TxnRequest) =>
    success.some(({ request }) => request?.kind === 'put' && mapKey(request.value.key) === `${p}k`),
  )
  const running = etcd.stm(tx => tx.put(`${p}k`, 'x'), { exactlyOnce: { prefix: `${p}markers/` } })
  const late = await trap.caught()
  trap.off()
  late.lose()
  const { revision } = await running
  t.is((await etcd.get(`${p}k`))?.version, 1n)
  await late.apply()
  const stored = await etcd.get(`${p}k`)
  t.is(stored?.version, 1n)
  t.is(stored?.modRevision, revision)
  const markers = await etcd.range(prefix(`${p}markers/`))
  t.true(markers.kvs.every(({ lease }) => lease > 0n))
})

test('a namespace and the client itself meet on the same keys', async t => {
  const { etcd } = await player(t, server())
  const p = uniquePrefix(t)
  const inside = etcd.namespace(p)
  const inc = (client: Meddler, key: string) =>
    client.stm(async tx => {
      const next = Number((await tx.get(key))?.text() ?? 0) + 1
      tx.put(key, String(next))
      return (await tx.prefix(key)).map(kv => kv.name())
    })
  const results = await Promise.all([
    inc(etcd, `${p}k`),
    inc(inside, 'k'),
    inc(etcd, `${p}k`),
    inc(inside, 'k'),
  ])
  t.deepEqual(
    results.map(({ value }) => value[0]),
    [`${p}k`, 'k', `${p}k`, 'k'],
  )
  t.is((await etcd.get(`${p}k`))?.text(), '4')
})

test('misuse is told before any request', async t => {
  const { etcd, net } = await player(t, server())
  const before = net.count(methods.txn)
  await t.throwsAsync(etcd.stm('no function' as never), { instanceOf: TypeError })
  await t.throwsAsync(
    etcd.stm(() => {}, { isolation: 'loose' as never }),
    { instanceOf: TypeError },
  )
  await t.throwsAsync(
    etcd.stm(() => {}, { maxAttempts: 0 }),
    { instanceOf: RangeError },
  )
  await t.throwsAsync(
    etcd.stm(() => {}, { isolated: true } as never),
    { instanceOf: TypeError },
  )
  await t.throwsAsync(
    etcd.stm(tx => tx.get('')),
    { instanceOf: RangeError },
  )
  await t.throwsAsync(
    etcd.stm(tx => tx.retry()),
    { instanceOf: TypeError, message: /nothing was read/ },
  )
  t.is(net.count(methods.txn), before)
  let kept: Transaction | undefined
  await etcd.stm(tx => {
    kept = tx
  })
  t.throws(() => kept!.put('k', 'v'), { instanceOf: TypeError })
  await t.throwsAsync(kept!.range(between('a', 'b')), { instanceOf: TypeError })
})

test('a swallowed retry is a retry all the same', async t => {
  const { etcd, net } = await player(t, server())
  const key = `${uniquePrefix(t)}k`
  const waiting = etcd.stm(async (tx): Promise<string> => {
    const found = await tx.get(key)
    try {
      tx.check(found)
    } catch {
      return 'swallowed'
    }
    return 'found'
  })
  await net.watching(watch => mapKey(watch.key) === key)
  await etcd.put(key, 'x')
  t.is((await waiting).value, 'found')
})
