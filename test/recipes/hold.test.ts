import test from 'ava'
import { Hold } from '../../recipes/hold.ts'
import { oneAtATime } from '../../recipes/internal/line/rule.ts'
import type { OwnKey } from '../../src/session/own-key.ts'
import type { SessionContext } from '../../src/session/session-context.ts'
import { AbortFanOut } from '../../src/support/abort.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'

const ended = { message: /was unlocked/ }

test('a hold that is over leaves no listener on its session and no timer', async t => {
  const { hold, listeners, runtime } = arrange()
  t.is(listeners(), 1)
  await hold.unlock()
  t.is(listeners(), 0)
  t.is(runtime.pendingTimers, 0)
})

test('the end of its session is the loss of a hold, in the same turn', t => {
  const { hold, over } = arrange()
  const reason = new EtcdError('SESSION_LOST', 'lost', { outcome: 'unknown' })
  t.false(hold.signal.aborted)
  over.abort(reason)
  t.is(hold.signal.reason, reason)
  t.throws(() => hold.assertHeld(), { is: reason })
})

test('whether it is held is asked of the session each time', t => {
  const { hold, session } = arrange()
  t.true(hold.held)
  session.alive = false
  t.false(hold.held)
  t.throws(() => hold.assertHeld(), { message: 'the clock says no' })
  t.false(hold.signal.aborted)
})

test('from the call of unlock on nothing is held, and the turn goes on when the key is gone', async t => {
  const { hold, claim } = arrange()
  claim.keepKey()
  const unlocking = hold.unlock()
  t.false(hold.held)
  t.throws(() => hold.assertHeld(), ended)
  await settle()
  t.false(claim.turnEnded)
  claim.dropKey()
  await unlocking
  t.true(claim.turnEnded)
})

test('a hold that was lost has its key removed all the same, once, under its own revision', async t => {
  const { hold, claim, over } = arrange()
  over.abort(new Error('lost'))
  await hold.unlock()
  t.deepEqual(claim.removed, [10n])
})

function arrange() {
  const runtime = new FakeRuntime()
  const over = new AbortController()
  const fanOut = new AbortFanOut()
  let listening = 0
  const aborts: Pick<AbortFanOut, 'on'> = {
    on: (signal, action) => {
      const stop = fanOut.on(signal, action)
      listening += 1
      return () => {
        listening -= 1
        stop()
      }
    },
  }
  const session = {
    alive: true,
    engine: { runtime, aborts },
    signal: over.signal,
    doubt: () => {},
    background: () => {},
    assertAlive() {
      if (!this.alive) throw new Error('the clock says no')
    },
  }
  let drop = () => {}
  const claim = {
    removed: [] as bigint[],
    turnEnded: false,
    gone: Promise.resolve(),
    keepKey() {
      this.gone = new Promise(resolve => {
        drop = resolve
      })
    },
    dropKey: () => drop(),
  }
  const own = {
    key: Buffer.from('lock/1'),
    remove: (createRevision: bigint) => {
      claim.removed.push(createRevision)
      return claim.gone
    },
  }
  const turn = {
    end: () => {
      claim.turnEnded = true
    },
  }
  const hold = new Hold(session as unknown as SessionContext, Buffer.from('lock'), {
    stands: [
      {
        prefix: Buffer.from('lock/'),
        rule: oneAtATime,
        value: Buffer.alloc(0),
        own: own as unknown as OwnKey,
        turn,
      },
    ],
    createRevision: 10n,
    adopted: false,
  })
  return { hold, session, claim, over, runtime, listeners: () => listening }
}
