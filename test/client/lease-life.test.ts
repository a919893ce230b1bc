import test from 'ava'
import { LeaseClock, type SendInstant } from '../../src/client/lease-clock.ts'
import { believable, LeaseLife, type LeaseState } from '../../src/client/lease-life.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'

const TTL_MS = 10_000
/** What is left of 10 s after one percent and 50 ms. */
const BELIEF_MS = 9850

class Scene {
  readonly runtime: FakeRuntime
  readonly clock: LeaseClock
  readonly granted: SendInstant
  readonly entered: LeaseState[] = []
  readonly life: LeaseLife
  trouble: unknown

  constructor(runtime = new FakeRuntime()) {
    this.runtime = runtime
    this.clock = new LeaseClock(runtime)
    this.granted = this.clock.instant()
    this.life = new LeaseLife({
      id: 0xabcn,
      ttlMs: TTL_MS,
      sent: this.granted,
      clock: this.clock,
      entered: state => this.entered.push(state),
      trouble: () => this.trouble,
    })
  }

  get kind(): LeaseState['kind'] {
    return this.life.look().kind
  }

  /** The machine sleeps so long that the deadline passes, and somebody notices. */
  sleepPastDeadline(): void {
    this.runtime.suspend(60_000)
    this.life.look()
  }
}

/** A platform that cannot tell how long the machine has been up. */
class BootlessRuntime extends FakeRuntime {
  constructor() {
    super()
    Object.defineProperty(this, 'bootNow', { value: undefined })
  }
}

const enter: Record<LeaseState['kind'], (scene: Scene) => void> = {
  active: () => {},
  suspended: scene => scene.life.overdue(),
  doubtful: scene => scene.sleepPastDeadline(),
  lost: scene => scene.life.lose('revoked'),
  stopped: scene => scene.life.stop(),
}

const inputs: Record<
  string,
  { apply(scene: Scene): void; leadsTo: Record<LeaseState['kind'], LeaseState['kind']> }
> = {
  'an answer to a renewal just sent': {
    apply: scene => scene.life.answered(scene.clock.instant(), TTL_MS),
    leadsTo: { active: 'active', suspended: 'active', doubtful: 'active', lost: 'lost', stopped: 'stopped' },
  },
  'a TTL of 0': {
    apply: scene => scene.life.answered(scene.clock.instant(), 0),
    leadsTo: { active: 'lost', suspended: 'lost', doubtful: 'lost', lost: 'lost', stopped: 'stopped' },
  },
  'a late renewal': {
    apply: scene => scene.life.overdue(),
    leadsTo: {
      active: 'suspended',
      suspended: 'suspended',
      doubtful: 'doubtful',
      lost: 'lost',
      stopped: 'stopped',
    },
  },
  'the deadline': {
    apply: scene => scene.runtime.stall(BELIEF_MS),
    leadsTo: { active: 'lost', suspended: 'lost', doubtful: 'lost', lost: 'lost', stopped: 'stopped' },
  },
  'sleep past the deadline': {
    apply: scene => scene.runtime.suspend(BELIEF_MS),
    leadsTo: {
      active: 'doubtful',
      suspended: 'doubtful',
      doubtful: 'doubtful',
      lost: 'lost',
      stopped: 'stopped',
    },
  },
  'a short sleep': {
    apply: scene => scene.runtime.suspend(1000),
    leadsTo: {
      active: 'active',
      suspended: 'suspended',
      doubtful: 'doubtful',
      lost: 'lost',
      stopped: 'stopped',
    },
  },
  'word that it is gone': {
    apply: scene => scene.life.lose('deleted'),
    leadsTo: { active: 'lost', suspended: 'lost', doubtful: 'lost', lost: 'lost', stopped: 'stopped' },
  },
  'being stopped': {
    apply: scene => scene.life.stop(),
    leadsTo: {
      active: 'stopped',
      suspended: 'stopped',
      doubtful: 'stopped',
      lost: 'lost',
      stopped: 'stopped',
    },
  },
}

for (const [name, { apply, leadsTo }] of Object.entries(inputs)) {
  // The table has a row for every kind of state, so its keys are the kinds.
  for (const from of Object.keys(leadsTo) as LeaseState['kind'][]) {
    test(`${name} takes a lease that is ${from} to ${leadsTo[from]}`, t => {
      const scene = new Scene()
      enter[from](scene)
      t.is(scene.kind, from)
      apply(scene)
      t.is(scene.kind, leadsTo[from])
    })
  }
}

test('the deadline is the send instant and the TTL, less one percent and 50 ms', t => {
  const { life, granted, runtime } = new Scene()
  t.is(life.deadlineMs, granted.atMs + BELIEF_MS)
  runtime.stall(BELIEF_MS - 1)
  t.is(life.look().kind, 'active')
  runtime.stall(1)
  t.is(life.look().kind, 'lost')
})

test('an answer counts from when its renewal was sent, however late it comes', t => {
  const { life, clock, runtime } = new Scene()
  runtime.stall(3000)
  const sent = clock.instant()
  runtime.stall(5000)
  t.true(life.answered(sent, TTL_MS))
  t.is(life.deadlineMs, sent.atMs + BELIEF_MS)
  t.is(life.acknowledged, sent)
})

test('an answer to an earlier renewal takes nothing back', t => {
  const { life, clock, runtime } = new Scene()
  const early = clock.instant()
  runtime.stall(2000)
  const late = clock.instant()
  life.answered(late, TTL_MS)
  t.false(life.answered(early, TTL_MS))
  t.is(life.deadlineMs, late.atMs + BELIEF_MS)
  t.is(life.acknowledged, late)
})

test('the server may change the TTL', t => {
  const { life, clock, runtime } = new Scene()
  runtime.stall(1000)
  const sent = clock.instant()
  life.answered(sent, 60_000)
  t.is(life.ttlMs, 60_000)
  t.is(life.deadlineMs, sent.atMs + 59_350)
})

test('a lease whose deadline has passed is lost, although an answer lies ready to be read', t => {
  const { life, clock, runtime } = new Scene()
  runtime.stall(5000)
  const sent = clock.instant()
  runtime.stall(5000)
  t.false(life.answered(sent, TTL_MS))
  t.is(life.look().kind, 'lost')
})

test('a loss by expiry says so, names the lease, and carries the last trouble as its cause', t => {
  const scene = new Scene()
  scene.trouble = new Error('no route')
  scene.runtime.stall(BELIEF_MS)
  const state = scene.life.look()
  if (state.kind !== 'lost') return t.fail(state.kind)
  t.is(state.reason, 'expired')
  t.true(EtcdError.is(state.error, 'SESSION_LOST'))
  t.is(state.error.cause, scene.trouble)
  t.regex(state.error.message, /abc/)
})

test('a loss keeps its first reason', t => {
  const { life } = new Scene()
  life.answered({ atMs: 1000, sleptMs: 0 }, 0)
  life.lose('deleted')
  const state = life.look()
  t.is(state.kind === 'lost' && state.reason, 'revoked')
})

test('a loss is told once, at the look that finds it', t => {
  const { life, runtime, entered } = new Scene()
  runtime.stall(BELIEF_MS)
  t.deepEqual(entered, [])
  life.look()
  life.look()
  t.deepEqual(
    entered.map(({ kind }) => kind),
    ['lost'],
  )
})

test('only an active or suspended lease may be believed in', t => {
  for (const [kind, arrive] of Object.entries(enter)) {
    const scene = new Scene()
    arrive(scene)
    t.is(believable(scene.life.look()), kind === 'active' || kind === 'suspended', kind)
  }
})

test('a short sleep is taken off the deadline, once', t => {
  const { life, granted, runtime } = new Scene()
  runtime.suspend(4000)
  life.look()
  t.is(life.look().kind, 'active')
  t.is(life.deadlineMs, granted.atMs + BELIEF_MS - 4000)
  runtime.stall(BELIEF_MS - 4000)
  t.is(life.look().kind, 'lost')
})

test('several sleeps add up', t => {
  const { life, runtime } = new Scene()
  for (let nap = 1; nap <= 9; nap++) {
    runtime.suspend(1000)
    t.is(life.look().kind, 'active', `nap ${nap}`)
  }
  runtime.suspend(1000)
  t.is(life.look().kind, 'doubtful')
})

test('sleep between sending and answer is taken off what the answer gives', t => {
  const { life, clock, runtime } = new Scene()
  runtime.stall(1000)
  const sent = clock.instant()
  runtime.suspend(3000)
  life.answered(sent, TTL_MS)
  t.is(life.deadlineMs, sent.atMs + BELIEF_MS - 3000)
})

test('sleep before the renewal was sent does not shorten what its answer gives', t => {
  const { life, clock, runtime } = new Scene()
  runtime.suspend(3000)
  const sent = clock.instant()
  life.answered(sent, TTL_MS)
  t.is(life.deadlineMs, sent.atMs + BELIEF_MS)
})

test('a doubtful lease is not convinced by an answer to a renewal sent before the sleep', t => {
  const scene = new Scene()
  scene.runtime.stall(1000)
  const before = scene.clock.instant()
  scene.sleepPastDeadline()
  t.false(scene.life.answered(before, 600_000))
  t.is(scene.kind, 'doubtful')
  const after = scene.clock.instant()
  t.true(scene.life.answered(after, TTL_MS))
  t.is(scene.kind, 'active')
  t.is(scene.life.deadlineMs, after.atMs + BELIEF_MS)
})

test('a doubtful lease that slept again needs a renewal sent after that', t => {
  const scene = new Scene()
  scene.sleepPastDeadline()
  const between = scene.clock.instant()
  scene.runtime.suspend(1000)
  t.false(scene.life.answered(between, TTL_MS))
  t.is(scene.kind, 'doubtful')
})

test('a doubtful lease is lost when the monotonic deadline passes', t => {
  const scene = new Scene()
  scene.sleepPastDeadline()
  scene.runtime.stall(BELIEF_MS - 1)
  t.is(scene.kind, 'doubtful')
  scene.runtime.stall(1)
  t.is(scene.kind, 'lost')
})

for (const [direction, byMs] of [
  ['forwards', 3_600_000],
  ['backwards', -3_600_000],
] as const) {
  test(`a wall clock corrected ${direction} changes nothing`, t => {
    const { life, runtime, granted, entered } = new Scene()
    runtime.setWallClock(byMs)
    t.is(life.look().kind, 'active')
    t.is(life.deadlineMs, granted.atMs + BELIEF_MS)
    t.deepEqual(entered, [])
  })
}

test('sleep is noticed also after the wall clock was corrected', t => {
  const scene = new Scene()
  scene.runtime.setWallClock(-3_600_000)
  scene.life.look()
  scene.sleepPastDeadline()
  t.is(scene.kind, 'doubtful')
})

test('without boot time a wall clock that jumps forwards is taken for sleep', t => {
  const scene = new Scene(new BootlessRuntime())
  scene.runtime.setWallClock(4000)
  t.is(scene.kind, 'active')
  t.is(scene.life.deadlineMs, scene.granted.atMs + BELIEF_MS - 4000)
  scene.runtime.suspend(6000)
  t.is(scene.kind, 'doubtful')
})

test('without boot time a wall clock set back changes nothing, and hides no later sleep', t => {
  const scene = new Scene(new BootlessRuntime())
  scene.runtime.setWallClock(-3_600_000)
  t.is(scene.kind, 'active')
  t.is(scene.life.deadlineMs, scene.granted.atMs + BELIEF_MS)
  scene.runtime.suspend(BELIEF_MS)
  t.is(scene.kind, 'doubtful')
})

test('boot time is read only when the wall clock has moved against the monotonic one', t => {
  const runtime = new (class extends FakeRuntime {
    reads = 0
    override bootNow(): number {
      this.reads++
      return super.bootNow()
    }
  })()
  const { life } = new Scene(runtime)
  const { reads } = runtime
  for (let look = 0; look < 100; look++) {
    runtime.stall(10)
    life.look()
  }
  t.is(runtime.reads, reads)
  runtime.suspend(1000)
  life.look()
  t.is(runtime.reads, reads + 1)
})

test('a process stopped between two readings of its clocks does not think that the machine slept', t => {
  const runtime = new (class extends BootlessRuntime {
    stopMs = 0
    override wallNow(): number {
      const nowMs = super.wallNow()
      this.stall(this.stopMs)
      this.stopMs = 0
      return nowMs
    }
  })()
  const clock = new LeaseClock(runtime)
  runtime.stopMs = 5000
  t.is(clock.sleptMs(), 0)
  runtime.stall(100)
  t.is(clock.sleptMs(), 0)
  runtime.suspend(1000)
  t.is(clock.sleptMs(), 1000)
})
