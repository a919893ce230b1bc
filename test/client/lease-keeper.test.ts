import test from 'ava'
import fc from 'fast-check'
import { type KeptLease, LeaseKeeper } from '../../src/client/lease-keeper.ts'
import type { LeaseState } from '../../src/client/lease-life.ts'
import { Backoff } from '../../src/support/backoff.ts'
import { type DeadlineEntry, DeadlineHeap } from '../../src/support/deadline-heap.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import type { LeaseKeepAliveRequest, LeaseKeepAliveResponse } from '../../src/wire/gen/rpc.g.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { type FakeStream, FakeStreams } from '../support/fake-streams.ts'

type Stream = FakeStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>

/** TTL 12 s: renewed after 4 s, believed in for 11.83 s, an answer may take 2 s. */
const TTL_MS = 12_000
const BELIEF_MS = 11_830
const PATIENCE_MS = 2000

class Scene {
  readonly runtime = new FakeRuntime()
  readonly streams = new FakeStreams()
  readonly keeper = new LeaseKeeper(this.streams, this.runtime)
  /** What the listener of each lease was told. */
  readonly told = new Map<bigint, LeaseState['kind'][]>()

  constructor() {
    // No jitter: the first renewal is due after exactly a third of the TTL, and a backoff takes no time.
    this.runtime.random = () => 0
  }

  keep(id: bigint, ttlMs = TTL_MS): KeptLease {
    const told: LeaseState['kind'][] = []
    this.told.set(id, told)
    return this.keeper.keep(
      { id, ttlMs, ...this.keeper.instant() },
      { changed: ({ kind }) => told.push(kind) },
    )
  }

  stream(index?: number): Stream {
    return this.streams.stream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>(index)
  }

  /** Has a lease sent its first renewal, unanswered. */
  async withRenewalSent(id = 1n): Promise<{ lease: KeptLease; sentAtMs: number }> {
    const lease = this.keep(id)
    await this.runtime.advance(TTL_MS / 3)
    return { lease, sentAtMs: this.runtime.now() }
  }
}

function alive(id: bigint, ttlSeconds = TTL_MS / 1000): LeaseKeepAliveResponse {
  return { header: undefined, id, ttl: BigInt(ttlSeconds) }
}

function idsSent(stream: Stream): bigint[] {
  return stream.sent.map(({ id }) => id)
}

function broken(): EtcdError {
  return new EtcdError('UNAVAILABLE', 'the stream broke', { outcome: 'unknown' })
}

test('no stream is opened before the first renewal is due, between 0.9 and 1 of a third of the TTL', async t => {
  const { runtime, streams, keeper } = new Scene()
  const random = new FakeRuntime()
  runtime.random = () => random.random()
  for (let id = 1n; id <= 50n; id++) keeper.keep({ id, ttlMs: TTL_MS, ...keeper.instant() }, { changed() {} })
  await runtime.advance(3599)
  t.is(streams.openings.length, 0)
  await runtime.advance(201)
  const halfway = streams.stream(0).sent.length
  t.true(halfway > 10 && halfway < 40, `${halfway} of 50 after half the time`)
  await runtime.advance(200)
  t.is(streams.openings.length, 1)
  t.is(streams.openings[0]?.options.lane, 'control')
  t.is(streams.openings[0]?.path, '/etcdserverpb.Lease/LeaseKeepAlive')
  t.is(streams.stream(0).sent.length, 50)
  keeper.close()
})

test('the first deadline and the first renewal count from the sending of the grant', async t => {
  const scene = new Scene()
  const sent = scene.keeper.instant()
  await scene.runtime.advance(5000)
  const lease = scene.keeper.keep({ id: 1n, ttlMs: TTL_MS, ...sent }, { changed() {} })
  t.is(lease.deadlineMs, sent.sentAtMs + BELIEF_MS)
  t.is(lease.remainingMs, BELIEF_MS - 5000)
  t.is(lease.lastAcknowledgedSendMs, sent.sentAtMs)
  await scene.runtime.advance(0)
  t.is(scene.stream().sent.length, 1)
  scene.keeper.close()
})

test('a lease is renewed a third of its TTL after the last renewal was sent, not after it was answered', async t => {
  const scene = new Scene()
  const { lease, sentAtMs } = await scene.withRenewalSent()
  await scene.runtime.advance(1500)
  scene.stream().answer(alive(1n))
  t.is(lease.deadlineMs, sentAtMs + BELIEF_MS)
  t.is(lease.lastAcknowledgedSendMs, sentAtMs)
  await scene.runtime.advance(2499)
  t.is(scene.stream().sent.length, 1)
  await scene.runtime.advance(1)
  t.is(scene.stream().sent.length, 2)
  scene.keeper.close()
})

test('the cadence follows the TTL that the server answers', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  scene.stream().answer(alive(1n, 60))
  t.is(lease.ttlMs, 60_000)
  await scene.runtime.advance(19_999)
  t.is(scene.stream().sent.length, 1)
  await scene.runtime.advance(1)
  t.is(scene.stream().sent.length, 2)
  t.is(lease.state.kind, 'active')
  scene.keeper.close()
})

test('a renewed lease lives on and its listener hears nothing', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  for (let renewals = 1; renewals <= 100; renewals++) {
    t.is(scene.stream(0).sent.length, renewals)
    await scene.runtime.advance(100)
    scene.stream(0).answer(alive(1n))
    await scene.runtime.advance(TTL_MS / 3 - 100)
  }
  t.is(lease.state.kind, 'active')
  t.deepEqual(scene.told.get(1n), [])
  t.is(scene.streams.openings.length, 1)
  scene.keeper.close()
})

test('a late answer suspends the lease and sends the renewal again, on a fresh stream to another member', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  await scene.runtime.advance(PATIENCE_MS - 1)
  t.is(lease.state.kind, 'active')
  t.is(scene.streams.openings.length, 1)
  await scene.runtime.advance(1)
  t.is(lease.state.kind, 'suspended')
  t.deepEqual(scene.told.get(1n), ['suspended'])
  t.is(scene.streams.openings.length, 2)
  t.is(scene.streams.openings[1]?.options.avoid, scene.stream(0).endpoint)
  t.not(scene.stream(1).endpoint, scene.stream(0).endpoint)
  t.deepEqual(idsSent(scene.stream(1)), [1n])
  t.is(scene.stream(0).state, 'live')
  scene.keeper.close()
})

test('the fresh answer makes the lease active from its own sending on, and the old stream is cancelled', async t => {
  const scene = new Scene()
  const { lease, sentAtMs } = await scene.withRenewalSent()
  await scene.runtime.advance(PATIENCE_MS + 300)
  scene.stream(1).answer(alive(1n))
  t.is(lease.state.kind, 'active')
  t.is(lease.deadlineMs, sentAtMs + PATIENCE_MS + BELIEF_MS)
  t.is(scene.stream(0).state, 'cancelled')
  t.is(scene.stream(1).state, 'live')
  t.deepEqual(scene.told.get(1n), ['suspended', 'active'])
  scene.keeper.close()
})

test('a late answer on the old stream counts, from when its own renewal was sent', async t => {
  const scene = new Scene()
  const { lease, sentAtMs } = await scene.withRenewalSent()
  await scene.runtime.advance(PATIENCE_MS + 500)
  scene.stream(0).answer(alive(1n))
  t.is(lease.state.kind, 'active')
  t.is(lease.deadlineMs, sentAtMs + BELIEF_MS)
  t.is(scene.stream(0).state, 'cancelled', 'nothing is left for it to answer')

  await scene.runtime.advance(500)
  scene.stream(1).answer(alive(1n))
  t.is(lease.deadlineMs, sentAtMs + PATIENCE_MS + BELIEF_MS)
  scene.keeper.close()
})

test('an answer on the old stream does not excuse silence on the fresh one', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  await scene.runtime.advance(PATIENCE_MS + 500)
  scene.stream(0).answer(alive(1n))
  await scene.runtime.advance(PATIENCE_MS - 501)
  t.is(lease.state.kind, 'active')
  t.is(scene.streams.openings.length, 2)
  await scene.runtime.advance(1)
  t.is(lease.state.kind, 'suspended')
  t.is(scene.streams.openings.length, 3)
  scene.keeper.close()
})

test('an answer on the old stream while the fresh one is still opening leaves nothing to send on it', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  scene.streams.doorkeeper = 'waits'
  await scene.runtime.advance(PATIENCE_MS)
  scene.stream(0).answer(alive(1n))
  scene.streams.openings[1]?.admit()
  await scene.runtime.advance(100)
  t.is(lease.state.kind, 'active')
  t.deepEqual(scene.stream(1).sent, [])
  scene.keeper.close()
})

test('never more than two streams are listened to, and an answer on one given up is not believed', async t => {
  const scene = new Scene()
  const lease = scene.keep(1n, 60_000)
  await scene.runtime.advance(20_000)
  for (let replaced = 1; replaced <= 5; replaced++) {
    await scene.runtime.advance(PATIENCE_MS)
    t.is(scene.streams.openings.length, replaced + 1)
    t.deepEqual(scene.streams.live, [scene.streams.stream(replaced - 1), scene.streams.stream(replaced)])
  }
  t.is(lease.state.kind, 'suspended')
  scene.keeper.close()
})

test('a TTL of 0 loses the lease at once, and only that lease', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  const other = scene.keep(2n)
  scene.stream().answer(alive(1n, 0))
  const { state } = lease
  t.is(state.kind === 'lost' && state.reason, 'revoked')
  t.deepEqual(scene.told.get(1n), ['lost'])
  t.is(other.state.kind, 'active')
  t.is(lease.remainingMs, 0)
  scene.keeper.close()
})

test('without an answer the lease is lost exactly at its deadline', async t => {
  const scene = new Scene()
  scene.streams.doorkeeper = 'waits'
  scene.keep(1n)
  await scene.runtime.advance(BELIEF_MS - 1)
  t.deepEqual(scene.told.get(1n), ['suspended'])
  await scene.runtime.advance(1)
  t.deepEqual(scene.told.get(1n), ['suspended', 'lost'])
  t.is(scene.runtime.pendingTimers, 0)
})

test('a renewal that finds no stream suspends the lease after the same time', async t => {
  const scene = new Scene()
  scene.streams.doorkeeper = 'waits'
  const lease = scene.keep(1n)
  await scene.runtime.advance(TTL_MS / 3)
  await scene.runtime.advance(PATIENCE_MS - 1)
  t.is(lease.state.kind, 'active')
  await scene.runtime.advance(1)
  t.deepEqual(scene.told.get(1n), ['suspended'])
  scene.streams.openings[0]?.admit()
  await settle()
  scene.stream().answer(alive(1n))
  t.is(lease.state.kind, 'active')
  scene.keeper.close()
})

for (const [what, read] of Object.entries<(lease: KeptLease) => unknown>({
  state: lease => lease.state,
  remainingMs: lease => lease.remainingMs,
  deadlineMs: lease => lease.deadlineMs,
  renewNow: lease => lease.renewNow(),
})) {
  test(`after a stalled event loop ${what} finds the loss before any timer runs`, t => {
    const scene = new Scene()
    const lease = scene.keep(1n)
    scene.runtime.stall(BELIEF_MS)
    t.deepEqual(scene.told.get(1n), [])
    read(lease)
    t.deepEqual(scene.told.get(1n), ['lost'])
    t.is(lease.state.kind, 'lost')
    t.is(scene.runtime.pendingTimers, 0)
  })
}

test('nothing resurrects a lost lease', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  scene.keep(2n, 600_000)
  scene.runtime.stall(BELIEF_MS)
  t.is(lease.state.kind, 'lost')
  scene.stream().answer(alive(1n))
  lease.renewNow()
  lease.stop()
  lease.lose('deleted')
  await scene.runtime.advance(30_000)
  const { state } = lease
  t.is(state.kind === 'lost' && state.reason, 'expired')
  t.deepEqual(scene.told.get(1n), ['lost'])
  t.false(
    scene.streams.openings.slice(1).some(({ stream }) => idsSent(stream as unknown as Stream).includes(1n)),
  )
  scene.keeper.close()
})

test('after a stalled event loop an answer waiting in the socket is read before its stream counts as stuck', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  scene.runtime.stall(PATIENCE_MS + 3000)
  await scene.runtime.advance(0)
  t.is(lease.state.kind, 'active')
  scene.stream().answer(alive(1n))
  await scene.runtime.advance(500)
  t.deepEqual(scene.told.get(1n), [])
  t.is(scene.streams.openings.length, 1)
  scene.keeper.close()
})

test('after a stalled event loop a stream that stays silent is replaced all the same', async t => {
  const scene = new Scene()
  await scene.withRenewalSent()
  scene.runtime.stall(PATIENCE_MS + 3000)
  await scene.runtime.advance(100)
  t.deepEqual(scene.told.get(1n), ['suspended'])
  t.is(scene.streams.openings.length, 2)
  scene.keeper.close()
})

test('an event loop that stalls again and again gets that moment once', async t => {
  const scene = new Scene()
  await scene.withRenewalSent()
  scene.runtime.stall(PATIENCE_MS + 1000)
  await scene.runtime.advance(0)
  t.deepEqual(scene.told.get(1n), [])
  scene.runtime.stall(1000)
  await scene.runtime.advance(0)
  t.deepEqual(scene.told.get(1n), ['suspended'])
  scene.keeper.close()
})

for (const [ttlMs, patienceMs] of [
  [1500, 300],
  [6000, 1000],
  [60_000, 2000],
] as const) {
  test(`with a TTL of ${ttlMs} ms an answer may take ${patienceMs} ms`, async t => {
    const scene = new Scene()
    scene.keep(1n, ttlMs)
    await scene.runtime.advance(ttlMs / 3 + patienceMs - 1)
    t.deepEqual(scene.told.get(1n), [])
    await scene.runtime.advance(1)
    t.deepEqual(scene.told.get(1n), ['suspended'])
    scene.keeper.close()
  })
}

test('a stream that breaks loses nothing: another is opened elsewhere and asked at once', async t => {
  const scene = new Scene()
  const { lease, sentAtMs } = await scene.withRenewalSent()
  await scene.runtime.advance(1000)
  scene.stream(0).end()
  t.is(lease.state.kind, 'active')
  await scene.runtime.advance(50)
  t.is(scene.streams.openings.length, 2)
  t.is(scene.streams.openings[1]?.options.avoid, scene.stream(0).endpoint)
  t.deepEqual(idsSent(scene.stream(1)), [1n])
  scene.stream(1).answer(alive(1n))
  t.true(lease.deadlineMs > sentAtMs + 1000 + BELIEF_MS - 1)
  t.deepEqual(scene.told.get(1n), [])
  scene.keeper.close()
})

test('a stream that ended before it was known to be open is tried again elsewhere', async t => {
  const scene = new Scene()
  scene.streams.doorkeeper = 'waits'
  scene.keep(1n)
  await scene.runtime.advance(TTL_MS / 3)
  scene.streams.doorkeeper = 'admits'
  scene.streams.openings[0]?.admit()
  scene.stream(0).end()
  await scene.runtime.advance(50)
  t.is(scene.streams.openings.length, 2)
  t.is(scene.streams.openings[1]?.options.avoid, scene.stream(0).endpoint)
  t.deepEqual(idsSent(scene.stream(1)), [1n])
  scene.keeper.close()
})

test('streams that keep breaking suspend the lease and lose it at the deadline, with the last trouble as cause', async t => {
  const scene = new Scene()
  const { lease, sentAtMs } = await scene.withRenewalSent()
  const { deadlineMs } = lease
  scene.runtime.random = () => 0.5
  const opened: number[] = []
  while (scene.runtime.now() < deadlineMs - 1) {
    const { live, openings } = scene.streams
    if (opened.length < openings.length) opened.push(scene.runtime.now())
    for (const stream of live) stream.end(broken())
    await scene.runtime.advance(1)
  }
  t.deepEqual(scene.told.get(1n), ['suspended'])
  t.true(opened.length > 8, `tried ${opened.length} times`)
  t.true(opened.length < 60, `tried ${opened.length} times in ${deadlineMs - sentAtMs} ms`)
  await scene.runtime.advance(1)
  const { state } = lease
  t.true(
    state.kind === 'lost' && state.reason === 'expired' && EtcdError.is(state.error.cause, 'UNAVAILABLE'),
  )
})

test('after a break the unanswered go first whose deadline comes first', async t => {
  const scene = new Scene()
  scene.streams.doorkeeper = 'waits'
  const ttls = [60_000, 20_000, 40_000, 30_000, 50_000]
  for (const [index, ttlMs] of ttls.entries()) scene.keep(BigInt(index), ttlMs)
  await scene.runtime.advance(19_000)
  t.is(scene.streams.openings.length, 1)
  scene.streams.openings[0]?.admit()
  await settle()
  t.deepEqual(idsSent(scene.stream()), [1n, 3n, 2n, 4n])
  scene.keeper.close()
})

test('all that is unanswered moves to the fresh stream together, and what rests stays at rest', async t => {
  const scene = new Scene()
  scene.keep(1n, 60_000)
  scene.keep(2n, 60_000)
  const resting = scene.keep(3n, 600_000)
  for (const lease of [scene.keep(4n, 36_000), resting]) lease.renewNow()
  await settle()
  t.deepEqual(idsSent(scene.stream(0)), [4n, 3n])
  scene.stream(0).answer(alive(3n, 600))
  await scene.runtime.advance(1000)
  scene.keep(5n, 6000).renewNow()
  t.deepEqual(idsSent(scene.stream(0)), [4n, 3n, 5n])
  await scene.runtime.advance(1000)
  t.deepEqual(scene.told.get(4n), ['suspended'])
  t.deepEqual(idsSent(scene.stream(1)), [5n, 4n])
  scene.keeper.close()
})

test('at most one renewal of a lease is unanswered on a stream', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  for (let times = 0; times < 5; times++) {
    lease.renewNow()
    await scene.runtime.advance(100)
  }
  t.is(scene.stream().sent.length, 1)
  scene.stream().answer(alive(1n))
  lease.renewNow()
  t.is(scene.stream().sent.length, 2)
  scene.keeper.close()
})

test('an answer nobody asked for is ignored', async t => {
  const scene = new Scene()
  const { lease, sentAtMs } = await scene.withRenewalSent()
  scene.stream().answer(alive(1n))
  await scene.runtime.advance(1000)
  scene.stream().answer(alive(1n))
  scene.stream().answer(alive(1n, 0))
  scene.stream().answer(alive(99n))
  t.is(lease.state.kind, 'active')
  t.is(lease.deadlineMs, sentAtMs + BELIEF_MS)
  scene.keeper.close()
})

test('a machine that slept past the deadline makes the lease doubtful and asks at once', async t => {
  const scene = new Scene()
  const lease = scene.keep(1n)
  scene.runtime.suspend(60_000)
  t.is(lease.state.kind, 'doubtful')
  t.is(lease.remainingMs, 0)
  t.deepEqual(scene.told.get(1n), ['doubtful'])
  await scene.runtime.advance(0)
  t.deepEqual(idsSent(scene.stream()), [1n])
  scene.stream().answer(alive(1n))
  t.is(lease.state.kind, 'active')
  t.is(lease.remainingMs, BELIEF_MS)
  t.deepEqual(scene.told.get(1n), ['doubtful', 'active'])
  scene.keeper.close()
})

test('after a sleep the renewal sent before it is not waited for: a fresh stream is asked', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  scene.runtime.suspend(60_000)
  t.is(lease.state.kind, 'doubtful')
  await scene.runtime.advance(0)
  t.is(scene.streams.openings.length, 2)
  t.deepEqual(idsSent(scene.stream(1)), [1n])
  scene.stream(0).answer(alive(1n))
  t.is(lease.state.kind, 'doubtful')
  scene.stream(1).answer(alive(1n))
  t.is(lease.state.kind, 'active')
  scene.keeper.close()
})

test('a sleep that an answer on the only stream reveals has the lease asked again', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  scene.runtime.suspend(60_000)
  scene.stream(0).answer(alive(1n))
  t.is(lease.state.kind, 'doubtful')
  await scene.runtime.advance(0)
  t.deepEqual(idsSent(scene.stream()), [1n, 1n])
  scene.stream().answer(alive(1n))
  t.is(lease.state.kind, 'active')
  scene.keeper.close()
})

test('a doubtful lease is lost when the server says so, or when its monotonic deadline passes', async t => {
  const scene = new Scene()
  const denied = scene.keep(1n)
  const silent = scene.keep(2n)
  scene.runtime.suspend(60_000)
  t.is(silent.state.kind, 'doubtful')
  await scene.runtime.advance(0)
  t.is(denied.state.kind, 'doubtful')
  await scene.runtime.advance(0)
  scene.stream().answer(alive(1n, 0))
  t.deepEqual(scene.told.get(1n), ['doubtful', 'lost'])
  await scene.runtime.advance(BELIEF_MS - 1)
  t.deepEqual(scene.told.get(2n), ['doubtful'])
  await scene.runtime.advance(1)
  t.deepEqual(scene.told.get(2n), ['doubtful', 'lost'])
})

test('a short sleep moves the loss forward, timer included', async t => {
  const scene = new Scene()
  scene.streams.doorkeeper = 'waits'
  const lease = scene.keep(1n)
  scene.runtime.suspend(9000)
  t.is(lease.remainingMs, BELIEF_MS - 9000)
  await scene.runtime.advance(BELIEF_MS - 9000 - 1)
  t.not(scene.told.get(1n)?.at(-1), 'lost')
  await scene.runtime.advance(1)
  t.is(scene.told.get(1n)?.at(-1), 'lost')
})

test('sleep between the grant and its keeping is not overlooked', t => {
  const scene = new Scene()
  const sent = scene.keeper.instant()
  scene.runtime.suspend(4000)
  const lease = scene.keeper.keep({ id: 1n, ttlMs: TTL_MS, ...sent }, { changed() {} })
  t.is(lease.remainingMs, BELIEF_MS - 4000)
  scene.keeper.close()
})

test('a corrected wall clock is not taken for sleep', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  scene.runtime.setWallClock(86_400_000)
  t.is(lease.state.kind, 'active')
  scene.runtime.setWallClock(-2 * 86_400_000)
  t.is(lease.state.kind, 'active')
  t.deepEqual(scene.told.get(1n), [])
  scene.keeper.close()
})

test('a refused token is forgotten, and is no reason to avoid the endpoint', async t => {
  const scene = new Scene()
  await scene.withRenewalSent()
  scene.stream(0).end(new EtcdError('UNAUTHENTICATED', 'invalid auth token', { outcome: 'rejected' }))
  t.deepEqual(scene.streams.forgotten, [scene.stream(0).endpoint])
  await scene.runtime.advance(50)
  t.is(scene.streams.openings.length, 2)
  t.is(scene.streams.openings[1]?.options.avoid, undefined)
  scene.keeper.close()
})

test('a replaced stream that ends is not replaced again, and its refused token is forgotten', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  await scene.runtime.advance(PATIENCE_MS)
  scene.stream(0).end(new EtcdError('UNAUTHENTICATED', 'invalid auth token', { outcome: 'rejected' }))
  t.deepEqual(scene.streams.forgotten, [scene.stream(0).endpoint])
  await scene.runtime.advance(1000)
  t.is(scene.streams.openings.length, 2)
  scene.stream(1).answer(alive(1n))
  t.is(lease.state.kind, 'active')
  scene.keeper.close()
})

test('an opening that is refused is tried again, unless the client is closed', async t => {
  const scene = new Scene()
  scene.streams.doorkeeper = 'waits'
  const lease = scene.keep(1n)
  await scene.runtime.advance(TTL_MS / 3)
  scene.streams.openings[0]?.refuse(new EtcdError('AUTH_FAILED', 'wrong password', { outcome: 'not-sent' }))
  await scene.runtime.advance(50)
  t.is(scene.streams.openings.length, 2)
  scene.streams.openings[1]?.refuse(new EtcdError('CLIENT_CLOSED', 'closed', { outcome: 'not-sent' }))
  await scene.runtime.advance(BELIEF_MS)
  t.is(scene.streams.openings.length, 2)
  const { state } = lease
  t.true(state.kind === 'lost' && EtcdError.is(state.error.cause, 'CLIENT_CLOSED'))
  t.is(scene.runtime.pendingTimers, 0)
})

test('lose loses the lease for the given reason, at once', t => {
  const scene = new Scene()
  const lease = scene.keep(1n)
  const cause = new Error('lease not found')
  lease.lose('revoked', cause)
  t.deepEqual(scene.told.get(1n), ['lost'])
  const { state } = lease
  t.true(state.kind === 'lost' && state.reason === 'revoked' && state.error.cause === cause)
  t.is(scene.runtime.pendingTimers, 0)
})

test('a stopped lease is renewed no more and its listener is not called', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  const other = scene.keep(2n, 60_000)
  lease.stop()
  t.is(lease.state.kind, 'stopped')
  t.is(lease.remainingMs, 0)
  scene.stream().answer(alive(1n, 0))
  await scene.runtime.advance(TTL_MS)
  t.deepEqual(idsSent(scene.stream()), [1n])
  t.deepEqual(scene.told.get(1n), [])
  t.is(other.state.kind, 'active')
  scene.keeper.close()
})

test('without a lease there is neither stream nor timer', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  lease.stop()
  t.is(scene.stream().state, 'cancelled')
  t.is(scene.runtime.pendingTimers, 0)
  scene.keep(2n)
  await scene.runtime.advance(4000)
  t.is(scene.streams.openings.length, 2)
  t.deepEqual(idsSent(scene.stream(1)), [2n])
  scene.keeper.close()
})

test('a lease cannot be kept twice at once, but again after it was stopped', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  t.throws(() => scene.keep(1n), { instanceOf: TypeError })
  scene.keep(2n)
  lease.stop()
  const again = scene.keep(1n)
  again.renewNow()
  t.deepEqual(idsSent(scene.stream()), [1n], 'the renewal on its way will do')
  scene.stream().answer(alive(1n))
  await scene.runtime.advance(4000)
  t.is(again.state.kind, 'active')
  scene.keeper.close()
})

test('closing stops every lease and leaves nothing open or pending', async t => {
  const scene = new Scene()
  const { lease } = await scene.withRenewalSent()
  const other = scene.keep(2n)
  await scene.runtime.advance(PATIENCE_MS)
  t.is(scene.streams.live.length, 2)
  scene.keeper.close()
  t.deepEqual([lease.state.kind, other.state.kind], ['stopped', 'stopped'])
  t.deepEqual(scene.streams.live, [])
  t.is(scene.runtime.pendingTimers, 0)
  const error = t.throws(() => scene.keep(3n))
  t.true(EtcdError.is(error, 'CLIENT_CLOSED'))
  scene.keeper.close()
})

test('closing gives up a stream that is opening, and one that waits to be reopened', async t => {
  const opening = new Scene()
  opening.streams.doorkeeper = 'waits'
  opening.keep(1n)
  await opening.runtime.advance(4000)
  opening.keeper.close()
  t.true(opening.streams.openings[0]?.options.signal.aborted)
  opening.streams.openings[0]?.admit()
  await settle()
  t.deepEqual(opening.streams.live.length, 0)
  t.is(opening.runtime.pendingTimers, 0)

  const pausing = new Scene()
  await pausing.withRenewalSent()
  pausing.stream().end()
  pausing.keeper.close()
  t.is(pausing.runtime.pendingTimers, 0)
  await pausing.runtime.advance(60_000)
  t.is(pausing.streams.openings.length, 1)
})

test('a stream that opens after it was given up is cancelled', async t => {
  const scene = new Scene()
  scene.streams.doorkeeper = 'waits'
  const lease = scene.keep(1n)
  await scene.runtime.advance(TTL_MS / 3)
  scene.streams.openings[0]?.admit()
  lease.stop()
  await settle()
  t.is(scene.stream(0).state, 'cancelled')
  t.deepEqual(scene.stream(0).sent, [])
})

test('a listener that throws harms neither its own lease nor another', async t => {
  const scene = new Scene()
  const deferred: (() => void)[] = []
  scene.runtime.defer = action => void deferred.push(action)
  const trouble = new Error('thrown by a listener')
  const thrower = scene.keeper.keep(
    { id: 1n, ttlMs: TTL_MS, ...scene.keeper.instant() },
    {
      changed() {
        throw trouble
      },
    },
  )
  const other = scene.keep(2n)
  await scene.runtime.advance(BELIEF_MS)
  t.is(thrower.state.kind, 'lost')
  t.is(other.state.kind, 'lost')
  t.deepEqual(scene.told.get(2n), ['suspended', 'lost'])
  t.is(deferred.length, 2)
  t.throws(() => deferred[0]?.(), { is: trouble })
  t.is(scene.runtime.pendingTimers, 0)
})

test('a listener may close everything while it is told of a loss', async t => {
  const scene = new Scene()
  const told: string[] = []
  for (let id = 1n; id <= 3n; id++) {
    const changed = ({ kind }: LeaseState) => {
      told.push(kind)
      scene.keeper.close()
    }
    scene.keeper.keep({ id, ttlMs: TTL_MS, ...scene.keeper.instant() }, { changed })
  }
  scene.runtime.stall(BELIEF_MS)
  await scene.runtime.advance(0)
  t.deepEqual(told, ['lost'])
  t.deepEqual(scene.streams.live, [])
  t.is(scene.runtime.pendingTimers, 0)
})

test('a listener told of a loss may keep the next lease at once', async t => {
  const scene = new Scene()
  let next: KeptLease | undefined
  scene.streams.doorkeeper = 'waits'
  const changed = ({ kind }: LeaseState) => {
    if (kind === 'lost') next = scene.keep(2n)
  }
  scene.keeper.keep({ id: 1n, ttlMs: TTL_MS, ...scene.keeper.instant() }, { changed })
  await scene.runtime.advance(BELIEF_MS)
  t.is(next?.state.kind, 'active')
  t.is(scene.runtime.pendingTimers, 1)
  scene.keeper.close()
  t.is(scene.runtime.pendingTimers, 0)
})

test('a listener told that its lease is suspended may stop it', async t => {
  const scene = new Scene()
  const lease: KeptLease = scene.keeper.keep(
    { id: 1n, ttlMs: TTL_MS, ...scene.keeper.instant() },
    { changed: () => lease.stop() },
  )
  scene.keep(2n, 600_000)
  await scene.runtime.advance(TTL_MS / 3 + PATIENCE_MS)
  t.is(lease.state.kind, 'stopped')
  t.is(scene.streams.openings.length, 1)
  scene.keeper.close()
})

test('a thousand leases share one stream and one timer, and are renewed once each', async t => {
  const scene = new Scene()
  const leases = Array.from({ length: 1000 }, (_, index) => scene.keep(BigInt(index)))
  t.is(scene.runtime.pendingTimers, 1)
  let answered = 0
  for (let tick = 0; tick < 80; tick++) {
    await scene.runtime.advance(100)
    t.true(scene.runtime.pendingTimers === 1)
    if (scene.streams.openings.length === 0) continue
    for (const { id } of scene.stream().sent.slice(answered)) scene.stream().answer(alive(id))
    answered = scene.stream().sent.length
  }
  t.is(scene.streams.openings.length, 1)
  t.is(scene.stream().sent.length, 2000)
  t.true(leases.every(({ state }) => state.kind === 'active'))
  scene.keeper.close()
  t.is(scene.runtime.pendingTimers, 0)
})

test('renewals set few timers: one per instant at which something is due, not one per lease', async t => {
  const scene = new Scene()
  let timers = 0
  const setTimer = scene.runtime.setTimer.bind(scene.runtime)
  scene.runtime.setTimer = (delayMs, action) => {
    timers++
    return setTimer(delayMs, action)
  }
  const leases = Array.from({ length: 1000 }, (_, index) => scene.keep(BigInt(index), 600_000))
  for (const lease of leases) lease.renewNow()
  await settle()
  timers = 0
  for (const { id } of scene.stream().sent.slice()) scene.stream().answer(alive(id, 600))
  await scene.runtime.advance(199_999)
  t.true(timers < 5, `${timers} timers`)
  await scene.runtime.advance(1)
  t.is(scene.stream().sent.length, 2000)
  t.true(timers < 10, `${timers} timers`)
  scene.keeper.close()
})

test('the longest TTL is renewed in its own time', async t => {
  const scene = new Scene()
  const ttlMs = 9_000_000_000 * 1000
  const lease = scene.keep(1n, ttlMs)
  await scene.runtime.advance(86_400_000 * 365)
  t.is(scene.streams.openings.length, 0)
  t.is(lease.state.kind, 'active')
  await scene.runtime.advance(ttlMs / 3 - 86_400_000 * 365)
  t.is(scene.stream().sent.length, 1)
  scene.stream().answer(alive(1n, 9_000_000_000))
  t.is(lease.state.kind, 'active')
  t.is(lease.deadlineMs, lease.lastAcknowledgedSendMs + ttlMs * 0.99 - 50)
  scene.keeper.close()
})

test('a heap of deadlines always has the earliest first, whatever is added, moved and removed', t => {
  const step = fc.record({
    action: fc.constantFrom('add', 'add', 'move', 'remove', 'remove again' as const),
    atMs: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant(Infinity)),
    pick: fc.nat(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), steps => {
      const heap = new DeadlineHeap<number>()
      const model = new Map<number, DeadlineEntry<number>>()
      const removed: DeadlineEntry<number>[] = []
      for (const [number, { action, atMs, pick }] of steps.entries()) {
        const entry = [...model.values()][pick % Math.max(1, model.size)]
        if (action === 'add') model.set(number, heap.add(number, atMs))
        else if (action === 'remove again') {
          const gone = removed[pick % Math.max(1, removed.length)]
          if (gone !== undefined) heap.remove(gone)
          if (gone !== undefined) heap.move(gone, atMs)
        } else if (entry !== undefined && action === 'move') {
          heap.move(entry, atMs)
          t.is(entry.atMs, atMs)
        } else if (entry !== undefined) {
          heap.remove(entry)
          model.delete(entry.value)
          removed.push(entry)
        }
        t.is(heap.size, model.size)
        const earliest = Math.min(...[...model.values()].map(one => one.atMs))
        t.is(heap.first?.atMs ?? Infinity, earliest)
      }
      const drained: number[] = []
      for (let first = heap.first; first !== undefined; first = heap.first) {
        drained.push(first.atMs)
        heap.remove(first)
      }
      t.deepEqual(
        drained,
        drained.toSorted((one, other) => one - other),
      )
      t.is(drained.length, model.size)
    }),
  )
})

test('moving one of thousands of deadlines takes a few comparisons, not thousands', t => {
  const heap = new DeadlineHeap<number>()
  let readings = 0
  const instant = (atMs: number) => {
    const read = () => {
      readings++
      return atMs
    }
    // Compares as a number does, and counts how often.
    return { valueOf: read } as unknown as number
  }
  const entries = Array.from({ length: 4096 }, (_, index) => heap.add(index, instant((index * 7919) % 4096)))
  readings = 0
  for (const [index, entry] of entries.entries()) heap.move(entry, instant(((index * 7927) % 4096) + 5000))
  t.true(readings / 4096 < 100, `${readings / 4096} readings per move`)
})

test('a backoff draws from a span that doubles up to its bound and starts over after a success', t => {
  const backoff = new Backoff({ random: () => 0.5 }, { initialMs: 50, maxMs: 1000 })
  const delays = () => Array.from({ length: 7 }, () => backoff.delay())
  t.deepEqual(delays(), [25, 50, 100, 200, 400, 500, 500])
  backoff.reset()
  t.is(backoff.delay(), 25)
})

test('a backoff spreads over its whole span', t => {
  const at = (random: number) =>
    new Backoff({ random: () => random }, { initialMs: 80, maxMs: 90, factor: 3 })
  t.is(at(0).delay(), 0)
  const highest = at(1 - 2 ** -53)
  t.true(highest.delay() > 79.9)
  t.true(highest.delay() > 89.9)
})
