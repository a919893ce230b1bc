import test from 'ava'
import { connect, type Etcd, EtcdError } from '../../src/index.ts'
import { Cluster, credentials } from './cluster.ts'
import { Network } from './network.ts'
import { SimulatedProcess } from './simulated-process.ts'
import { World } from './world.ts'

test('while the alarm is raised nothing can be stored, and what is stored can be read and deleted', async t => {
  await scene({}, async ({ etcd, cluster }) => {
    await etcd.put('a', '1')
    const disarm = cluster.fill(0)
    await t.throwsAsync(etcd.put('b', '2'), { code: 'NO_SPACE' } as object)
    t.is((await etcd.get('a'))?.text(), '1')
    t.is((await etcd.delete('a')).deleted, 1)
    disarm()
    await etcd.put('b', '2')
  })
})

test('the end of a lease is known with its instant and by whom, and one its session asked for comes last', async t => {
  await scene({}, async ({ etcd, cluster, world }) => {
    const lease = async () => {
      const { id } = await etcd.lease.grant(5)
      cluster.follow(id)
      return id
    }
    const [left, taken] = [await lease(), await lease()]
    t.true(cluster.hasLease(left))
    t.is(cluster.leaseEnd(left), undefined)
    cluster.endLease(taken, 'revoke')
    t.deepEqual(cluster.leaseEnd(taken), { at: world.nowMs, by: 'operator' })
    const grantedMs = world.nowMs
    await new Promise<void>(resolve => void world.after(8000, 'later', resolve))
    t.false(cluster.hasLease(left))
    const end = cluster.leaseEnd(left)
    t.is(end?.by, 'time')
    t.true(Math.abs(end!.at - grantedMs - 5000) < 50, String(end!.at - grantedMs))
  })
})

test('a lease that was taken and comes back by a grant that was on its way has not ended', async t => {
  await scene({}, async ({ etcd, cluster }) => {
    const { id } = await etcd.lease.grant(5)
    cluster.follow(id)
    cluster.endLease(id, 'revoke')
    t.false(cluster.wasGrantedAgain(id))
    await etcd.lease.grant(5, { id })
    t.true(cluster.wasGrantedAgain(id))
    await etcd.lease.revoke(id)
    t.is(cluster.leaseEnd(id)?.by, 'time')
  })
})

test('where everybody has to sign in, who does not is refused', async t => {
  await scene({ tokenTtl: 60 }, async ({ etcd, stranger }) => {
    await etcd.put('a', '1')
    const error = await stranger().then(
      other =>
        other.get('a').then(
          () => undefined,
          (reason: unknown) => reason,
        ),
      (reason: unknown) => reason,
    )
    t.true(EtcdError.is(error), String(error))
  })
})

test('tokens that were forgotten are asked for again, without anybody noticing', async t => {
  await scene({ tokenTtl: 60 }, async ({ etcd, cluster, world }) => {
    const signedIn = () => world.trace.filter(line => line.includes('ask Authenticate')).length
    await etcd.put('a', '1')
    await etcd.put('a', '2')
    t.is(signedIn(), 1)
    cluster.forgetTokens()
    await new Promise<void>(resolve => void world.after(10, 'later', resolve))
    await etcd.put('a', '3')
    t.is(signedIn(), 2)
    t.is((await etcd.get('a'))?.text(), '3')
  })
})

test('after a GOAWAY a call under way is answered, and one that follows waits for no other', async t => {
  await scene({}, async ({ etcd, cluster, world }) => {
    cluster.faults.delay({ method: 'Put', replyMs: 500, times: 1 })
    const order: string[] = []
    const slow = etcd.put('a', '1').then(() => order.push('under way'))
    await new Promise<void>(resolve => void world.after(10, 'later', resolve))
    cluster.faults.goAway()
    await new Promise<void>(resolve => void world.after(10, 'later', resolve))
    await etcd.put('b', '2')
    order.push('new')
    await slow
    t.deepEqual(order, ['new', 'under way'])
  })
})

test('what goes on after a GOAWAY breaks with its connection', async t => {
  await scene({}, async ({ etcd, cluster, world }) => {
    cluster.faults.delay({ method: 'Put', replyMs: 500, times: 1 })
    const slow = t.throwsAsync(etcd.put('a', '1'), { code: 'UNAVAILABLE' } as object)
    await new Promise<void>(resolve => void world.after(10, 'later', resolve))
    cluster.faults.goAway()
    await new Promise<void>(resolve => void world.after(10, 'later', resolve))
    cluster.faults.disconnect()
    const error = await slow
    t.true(EtcdError.is(error) && error.outcome === 'unknown')
    t.is((await etcd.get('a'))?.text(), '1')
  })
})

interface Scene {
  readonly world: World
  readonly cluster: Cluster
  readonly etcd: Etcd
  /** Another client, without credentials. */
  stranger(): Promise<Etcd>
}

async function scene(
  { tokenTtl = 0 }: { readonly tokenTtl?: number },
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
  const world = new World(1, { trace: true })
  const cluster = new Cluster(world, { members: 1, leaseScanMs: 0, tokenTtl })
  const weather = { latencyMs: 1, spikeChance: 0, spikeMs: 0, inBatches: false }
  const network = new Network(world, { server: cluster.transport, weather })
  const client = (name: string, options: object) => {
    const process = new SimulatedProcess(world, { name, clockRate: 1 })
    return connect([...cluster.endpoints], {
      transport: network.transportOf(process),
      runtime: process,
      ...options,
    })
  }
  let failed: unknown
  let isDone = false
  const played = (async () => {
    const etcd = await client('p1', tokenTtl > 0 ? { credentials } : {})
    await play({ world, cluster, etcd, stranger: () => client('p2', {}) })
    await etcd.close()
  })()
  played
    .catch((error: unknown) => {
      failed = error
    })
    .finally(() => {
      isDone = true
    })
  await world.run(60_000, () => isDone)
  cluster.close()
  if (failed !== undefined) throw failed
  if (!isDone) throw new Error('it did not come to its end within a minute')
}
