import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { connect, prefix } from '../../../src/index.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import { startProxy } from '../../support/tcp-proxy.ts'

const server = useEtcd(test)
const teller = fileURLToPath(new URL('stm-teller.js', import.meta.url))
const PROCESSES = 3
const ROUNDS = 12
const TASKS = 4

test('a bank kept by several processes keeps its sum through connections that drop', async t => {
  t.timeout(110_000)
  const p = uniquePrefix(t)
  const etcd = await connect(server().endpoints)
  const proxy = await startProxy(server().endpoint)
  t.teardown(async () => {
    await etcd[Symbol.asyncDispose]()
    await proxy.close()
  })
  await etcd.stm(tx => {
    for (let index = 0; index < 6; index++) tx.put(`${p}account/${index}`, '100')
  })
  const children = Array.from({ length: PROCESSES }, (_, index) =>
    fork(teller, [proxy.endpoint, p, String(ROUNDS), String(index * 7919 + 1)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    }),
  )
  const complaints: string[] = []
  for (const child of children) child.stderr?.on('data', data => complaints.push(String(data)))
  const ended = Promise.all(children.map(child => once(child, 'close').then(([code]) => code as number)))
  let isOver = false
  void ended.then(() => {
    isOver = true
  })
  // Whenever some more has been done, all connections break, with whatever is under way.
  let resets = 0
  let commits = 0
  const watch = etcd.watch(prefix(`${p}done/`))
  void ended.then(() => watch.close())
  for await (const { events } of watch.revisions()) {
    commits += events.length
    if (commits >= 4 * (resets + 1) && resets < 12 && !isOver) {
      proxy.reset()
      resets += 1
      const sum = await etcd.stm(async tx =>
        (await tx.prefix(`${p}account/`)).reduce((all, kv) => all + Number(kv.text()), 0),
      )
      t.is(sum.value, 600)
    }
  }
  t.deepEqual(await ended, [0, 0, 0], complaints.join(''))
  const { kvs } = await etcd.range(prefix(`${p}account/`))
  t.is(
    kvs.reduce((all, kv) => all + Number(kv.text()), 0),
    600,
  )
  // Each was done exactly once, whatever became of its answer.
  const done = await etcd.range(prefix(`${p}done/`))
  t.is(
    done.kvs.reduce((all, kv) => all + Number(kv.text()), 0),
    PROCESSES * TASKS * ROUNDS,
  )
  t.true(resets > 3)
})
