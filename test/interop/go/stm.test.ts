import test, { type ExecutionContext } from 'ava'
import { connect, type Isolation } from '../../../src/index.ts'
import { goPeer } from '../../support/go-peer.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'

const server = useEtcd(test)

for (const isolation of ['serializable-snapshot', 'serializable', 'repeatable-reads'] as const) {
  test(`transactions of Go and ours count together: ${isolation}`, async t => {
    await countsTogether(t, isolation)
  })
}

async function countsTogether(t: ExecutionContext<unknown>, isolation: Isolation): Promise<void> {
  t.timeout(60_000)
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}counter`
  const etcd = await connect(endpoint)
  t.teardown(() => etcd[Symbol.asyncDispose]())
  const theirs = [1, 2].map(() => peer.start('stm-count', { endpoint, name, rounds: 25, value: isolation }))
  for (const one of theirs) await one.next('ready')
  const ours = async () => {
    for (let round = 0; round < 15; round++) {
      await etcd.stm(
        async tx => {
          tx.put(name, String(Number((await tx.get(name))?.text() ?? 0) + 1))
        },
        { isolation, maxAttempts: 10_000 },
      )
    }
  }
  await Promise.all([ours(), ours(), ours()])
  for (const one of theirs) t.like(await one.exited, { code: 0 })
  t.is(await etcd.counter(name).get(), 95n)
}
