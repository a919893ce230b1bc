import test, { type ExecutionContext } from 'ava'
import type { Link, UnaryOutcome } from '../../src/support/transport.ts'
import { toBytes } from '../../src/wire/bytes.ts'
import type { Init } from '../../src/wire/codec.ts'
import { type Method, methods } from '../../src/wire/methods.ts'
import type { Intervention } from '../checkers/history.ts'
import { Cluster, credentials } from './cluster.ts'
import { Nemesis } from './nemesis.ts'
import { Network } from './network.ts'
import { type FaultKind, faultKinds, type Plan, planOf } from './plan.ts'
import { Recorder } from './recorder.ts'
import { type Stage, startProcess } from './stage.ts'
import { World } from './world.ts'

const LEASE = 77n
const LEASED = 'leased/key'
/** There and back, with time to spare. */
const SOON_MS = 20

/** What each fault does to who is struck by it: told by somebody who looks, not by the fault. */
const effects: Readonly<Record<FaultKind, (t: ExecutionContext, scene: Scene) => Promise<unknown>>> = {
  cut: async (t, { passes, links }) => {
    await passes(SOON_MS)
    t.is(links[0]!.state.kind, 'closed')
  },
  'black-hole': nothingComesBack,
  'one-way': nothingComesBack,
  'slow-path': async (t, { answerMs }) => {
    const tookMs = await answerMs(10_000)
    t.true(tookMs >= 50 && tookMs < 10_000, String(tookMs))
  },
  'path-degrades': async (t, scene) => {
    const tookMs = await scene.answerMs(10_000)
    t.true(tookMs >= 100 && tookMs < 4000, String(tookMs))
    const later: number[] = []
    for (let count = 0; count < 10; count++) later.push(await scene.answerMs(1600))
    t.true(later.includes(Infinity), later.join())
  },
  'never-speaks': async (t, { passes, connect, nemesis }) => {
    const link = connect(0)
    await passes(SOON_MS)
    t.is(link.state.kind, 'connecting')
    nemesis.heal()
    const next = connect(0)
    await passes(SOON_MS)
    t.is(next.state.kind, 'ready')
  },
  'member-killed': async (t, { passes, links, connect, nemesis }) => {
    await passes(SOON_MS)
    t.is(links[0]!.state.kind, 'closed')
    const link = connect(0)
    await passes(SOON_MS)
    t.is(link.state.kind, 'closed')
    nemesis.heal()
    const next = connect(0)
    await passes(SOON_MS)
    t.is(next.state.kind, 'ready')
  },
  'all-members-down': async (t, { passes, links, connect }) => {
    await passes(SOON_MS)
    const again = links.map((_, member) => connect(member))
    await passes(SOON_MS)
    for (const link of [...links, ...again]) t.is(link.state.kind, 'closed')
  },
  'member-stopped': async (t, scene) => {
    await nothingComesBack(t, scene)
    t.is(scene.links[0]!.state.kind, 'ready')
  },
  'member-lags': async (t, { ask, cluster, passes, links }) => {
    cluster.overwriteKey('unleased')
    const request = { key: toBytes('unleased'), serializable: true }
    const asked = links.map((_, member) => ask(methods.range, request, { member }))
    await passes(SOON_MS)
    const counts = asked.map(({ outcome }) =>
      outcome?.kind === 'answer' ? methods.range.response.decode(outcome.message).count : undefined,
    )
    t.deepEqual(counts.toSorted(), [0n, 1n, 1n])
  },
  'leader-lost': async (t, { ask, passes, nemesis }) => {
    const asked = ask(methods.put, { key: toBytes('key'), value: toBytes('value') })
    await passes(500)
    t.not(asked.outcome?.kind, 'answer')
    nemesis.heal()
    const again = ask(methods.put, { key: toBytes('key'), value: toBytes('value') })
    await passes(SOON_MS)
    t.is(again.outcome?.kind, 'answer')
  },
  'go-away': async (t, { passes, links, connect }) => {
    await passes(SOON_MS)
    t.is(links[0]!.state.kind, 'closed')
    const next = connect(0)
    await passes(SOON_MS)
    t.is(next.state.kind, 'ready')
  },
  'streams-cut': async (t, { passes, ended, links }) => {
    await passes(SOON_MS)
    t.is(ended.length, 1)
    t.is(links[0]!.state.kind, 'ready')
  },
  'reply-lost': async (t, scene) => {
    const before = scene.cluster.revision
    const outcomes = await oneOfEach(scene)
    t.is(outcomes.filter(outcome => outcome?.kind === 'answer').length, outcomes.length - 1)
    // What was asked for was done all the same: the transaction, the put, and the end of a lease with its key.
    t.is(scene.cluster.revision, before + 3n)
  },
  'answer-garbled': async (t, scene) => {
    const outcomes = await oneOfEach(scene)
    const spoilt = outcomes.filter(outcome => outcome?.kind === 'answer' && outcome.message.at(-1) === 0xff)
    t.is(spoilt.length, 1)
  },
  'process-stopped': standsStillAndGoesOn,
  'process-stalled': standsStillAndGoesOn,
  'process-sleeps': async (t, scene) => {
    const { process } = scene
    const sinceBoot = () => process.bootNow() - process.now()
    const before = sinceBoot()
    const stoodMs = await standsStillAndGoesOn(t, scene)
    t.true(Math.abs(sinceBoot() - before - stoodMs) < 1)
  },
  'process-crashes': async (t, { process, passes, spawned }) => {
    t.true(process.isCrashed)
    await passes(5000)
    t.is(spawned(), 1)
  },
  'process-crashes-sending': async (t, { process, passes, spawned }) => {
    t.false(process.isCrashed)
    let sent = 0
    while (process.sends() && sent < 100) sent += 1
    t.true(process.isCrashed)
    t.true(sent >= 1 && sent <= 20, String(sent))
    await passes(5000)
    t.is(spawned(), 1)
  },
  'lease-revoked': async (t, { cluster, interventions }) => {
    t.false(cluster.hasLease(LEASE))
    t.deepEqual(interventions(), ['lease-revoked'])
  },
  'lease-expires-early': async (t, { cluster, interventions }) => {
    t.false(cluster.hasLease(LEASE))
    t.deepEqual(interventions(), ['lease-expired-early'])
  },
  'lease-ends-at-deadline': async (t, { cluster, passes, answerMs, interventions }) => {
    t.is(await answerMs(SESSION_LEFT_MS - SOON_MS), Infinity)
    t.true(cluster.hasLease(LEASE))
    await passes(SOON_MS + 1)
    t.false(cluster.hasLease(LEASE))
    t.deepEqual(interventions(), ['lease-expired-early'])
  },
  'key-deleted': async (t, { cluster, interventions }) => {
    t.deepEqual(cluster.keys(LEASED), [])
    t.deepEqual(interventions(), ['key-deleted'])
  },
  'key-overwritten': async (t, { cluster, nemesis, interventions }) => {
    t.true(cluster.isUnleased(LEASED))
    nemesis.heal()
    t.deepEqual(cluster.keys(LEASED), [])
    t.deepEqual(interventions(), ['key-overwritten', 'key-deleted'])
  },
  compaction: async (t, { cluster }) => {
    t.true(cluster.compactedAt > 0n)
  },
  'no-space': async (t, { ask, passes, nemesis }) => {
    const put = () => ask(methods.put, { key: toBytes('key'), value: toBytes('value') })
    const asked = put()
    await passes(SOON_MS)
    t.is(asked.outcome?.kind === 'failure' && asked.outcome.failure.status, 8)
    nemesis.heal()
    const again = put()
    await passes(SOON_MS)
    t.is(again.outcome?.kind, 'answer')
  },
  'tokens-forgotten': async (t, { ask, passes, token }) => {
    const asked = ask(methods.range, { key: toBytes('key') }, { token: token() })
    await passes(SOON_MS)
    t.is(asked.outcome?.kind === 'failure' && asked.outcome.failure.status, 16)
  },
}

for (const kind of faultKinds)
  test(`a fault is felt when it is told that it struck: ${kind}`, async t => {
    const scene = await arrange(kind)
    await scene.strike()
    await effects[kind](t, scene)
  })

test('what finds nothing to strike has not struck', async t => {
  const finds: readonly FaultKind[] = [
    'never-speaks',
    'member-killed',
    'member-stopped',
    'member-lags',
    'leader-lost',
    'reply-lost',
    'answer-garbled',
    'compaction',
    'no-space',
    'all-members-down',
  ]
  const { stage, world } = stageOf({ ...calm, faults: faultKinds })
  const nemesis = new Nemesis({ stage, processes: () => [], spawn: () => {} })
  nemesis.start(stage.plan)
  await world.run(100_000)
  t.deepEqual(
    faultKinds.filter(kind => nemesis.strikes.has(kind)),
    finds,
  )
})

type Scene = Awaited<ReturnType<typeof arrange>>

/** What the session still has when its lease is to end at its deadline. */
const SESSION_LEFT_MS = 4000

const calm: Plan = {
  ...planOf(1, 'kv'),
  faults: [],
  hostile: false,
  members: 1,
  ttl: 5,
  latencyMs: 1,
  spikeChance: 0,
  inBatches: false,
  drift: 0,
  leaseScanMs: 0,
  tokenTtl: 0,
}

function stageOf(plan: Plan) {
  const world = new World(plan.seed)
  const cluster = new Cluster(world, plan)
  const network = new Network(world, { server: cluster.transport, weather: plan })
  const recorder = new Recorder(world, cluster)
  const stage: Stage = {
    plan,
    world,
    cluster,
    network,
    recorder,
    isOver: false,
    unexpected: error => {
      throw error
    },
  }
  return { stage, world, cluster, network, recorder }
}

/** A process with a connection to each member, one stream, a lease with a key, and a session. */
async function arrange(kind: FaultKind) {
  const several = kind === 'all-members-down' || kind === 'member-lags'
  const tokenTtl = kind === 'tokens-forgotten' ? 300 : 0
  const { stage, world, cluster, network, recorder } = stageOf({
    ...calm,
    faults: [kind],
    members: several ? 3 : 1,
    tokenTtl,
  })
  const process = startProcess(stage, 'p1')
  const transport = network.transportOf(process)
  let spawned = 0
  const spawn = () => {
    spawned += 1
  }
  const nemesis = new Nemesis({ stage, processes: () => [process], spawn })
  const connect = (member: number): Link => {
    const address = cluster.endpoints[member]!
    const endpoint = { url: `http://${address}`, address, scheme: 'tcp', tls: false } as const
    return transport.connect(endpoint, { pingIntervalMs: 60_000, pingTimeoutMs: 60_000 }, () => {})
  }
  const passes = (ms: number) => world.run(world.nowMs + ms)
  const links = cluster.endpoints.map((_, member) => connect(member))
  const ask = <Request, Response>(
    method: Method<Request, Response>,
    request: Init<Request>,
    { member = 0, token }: { readonly member?: number; readonly token?: string | undefined } = {},
  ): { readonly outcome: UnaryOutcome | undefined; readonly atMs: number } => {
    const asked: { outcome: UnaryOutcome | undefined; atMs: number } = { outcome: undefined, atMs: Infinity }
    const metadata = token === undefined ? {} : { token }
    links[member]!.unary(method.path, method.request.encode(request), metadata, outcome => {
      Object.assign(asked, { outcome, atMs: world.nowMs })
    })
    return asked
  }
  /** How long an answer takes; for ever, if there is none within this time. */
  const answerMs = async (withinMs: number): Promise<number> => {
    const from = world.nowMs
    const asked = ask(methods.range, { key: toBytes('key') })
    await world.run(from + withinMs, () => asked.outcome !== undefined)
    return asked.outcome?.kind === 'answer' ? asked.atMs - from : Infinity
  }

  await passes(SOON_MS)
  const ended: unknown[] = []
  links[0]!.stream(methods.watch.path, {}, { onMessage: () => {}, onEnd: failure => ended.push(failure) })
  let token: string | undefined
  if (tokenTtl > 0) {
    const { username: name, password } = credentials
    const signedIn = ask(methods.authenticate, { name, password })
    await passes(SOON_MS)
    if (signedIn.outcome?.kind !== 'answer') throw new Error('nobody can sign in')
    token = methods.authenticate.response.decode(signedIn.outcome.message).token
  }
  ask(methods.leaseGrant, { id: LEASE, ttl: 10_000n }, { token })
  await passes(SOON_MS)
  const written = ask(methods.put, { key: toBytes(LEASED), value: toBytes('mine'), lease: LEASE }, { token })
  await passes(SOON_MS)
  if (written.outcome?.kind !== 'answer') throw new Error('what was to be struck is not there')
  recorder.session(process, {
    leaseId: LEASE,
    state: 'active',
    remainingMs: SESSION_LEFT_MS,
    signal: new AbortController().signal,
  })
  return {
    process,
    cluster,
    links,
    nemesis,
    ended,
    connect,
    passes,
    ask,
    answerMs,
    token: () => token,
    spawned: () => spawned,
    stalls: () => recorder.history(cluster.log).stalls,
    interventions: (): readonly Intervention['kind'][] =>
      recorder.history(cluster.log).interventions.map(one => one.kind),
    until: (fact: () => boolean) => world.run(world.nowMs + 100_000, fact),
    strike: async () => {
      nemesis.start(stage.plan)
      await world.run(world.nowMs + 1e6, () => nemesis.strikes.get(kind) === 1)
      if (nemesis.strikes.get(kind) !== 1) throw new Error(`${kind} never struck`)
    },
  }
}

async function nothingComesBack(t: ExecutionContext, { answerMs, nemesis }: Scene): Promise<void> {
  t.is(await answerMs(SOON_MS), Infinity)
  nemesis.heal()
  t.true((await answerMs(SOON_MS)) <= SOON_MS)
}

/** How long it stood. */
async function standsStillAndGoesOn(t: ExecutionContext, { process, until, stalls }: Scene): Promise<number> {
  t.true(process.standsStill)
  const arrived: string[] = []
  process.receive('message', () => arrived.push('message'))
  t.deepEqual(arrived, [])
  await until(() => process.isRunning)
  t.deepEqual(arrived, ['message'])
  const [stall, ...others] = stalls()
  t.deepEqual(others, [])
  t.is(stall?.process, process.name)
  return stall!.until - stall!.from
}

/** Of what processes ask for, each once. */
async function oneOfEach({ ask, passes, cluster }: Scene): Promise<readonly (UnaryOutcome | undefined)[]> {
  const put = { key: toBytes('key'), value: toBytes('value') }
  const asked = [
    ask(methods.txn, { success: [{ request: { kind: 'put', value: put } }] }),
    ask(methods.put, put),
    ask(methods.range, { key: toBytes('key') }),
    ask(methods.leaseGrant, { id: LEASE + 1n, ttl: 100n }),
    ask(methods.leaseRevoke, { id: LEASE }),
  ]
  await passes(SOON_MS)
  if (cluster.hasLease(LEASE)) throw new Error('the lease was not revoked')
  return asked.map(({ outcome }) => outcome)
}
