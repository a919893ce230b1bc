import type { ExecutionContext, ImplementationFn } from 'ava'
import { EtcdError, type Session } from '../../src/index.ts'
import { uniquePrefix } from '../support/live.ts'
import type { MeddlingTransport } from '../support/meddling-transport.ts'
import type { TestServer } from '../support/test-server.ts'
import {
  keysOf,
  line,
  player,
  quiet,
  type SessionPlayer,
  sessionPlayer,
  testRuntime,
  turns,
} from './arena.ts'

/** What every handle of a recipe has in common, whatever its methods are called. */
export interface Owned {
  readonly signal: AbortSignal
  readonly held: boolean
  readonly fencingToken: bigint
}

/** A recipe that gives out handles one after the other, as far as the traits need to know it. */
export interface Recipe<Handle extends Owned> {
  /** For titles: `mutex`. */
  readonly called: string
  /** Waits for its turn. */
  acquire(session: Session, name: string, options?: { readonly signal?: AbortSignal }): Promise<Handle>
  release(handle: Handle): Promise<void>
  /** Has each task of a session a key of its own in the line, and are writes to the line told to those in it? */
  readonly keys?: 'many'
  /** Where it has a request of its own, how many round trips each takes. */
  readonly roundTrips: { readonly acquire: number; readonly release: number; readonly handOff: number }
}

type Server = () => TestServer
type Trait = { readonly title: string; readonly exec: ImplementationFn<[], unknown> }

/** All of them, for one recipe: `for (const { title, exec } of traitsOf(recipe, server)) test(title, exec)`. */
export function traitsOf<Handle extends Owned>(recipe: Recipe<Handle>, server: Server): readonly Trait[] {
  return [
    abortedWaitLeavesNothing(recipe, server),
    sessionLossRejectsAndAborts(recipe, server),
    closedSessionRejects(recipe, server),
    releaseIsIdempotent(recipe, server),
    roundTripBudget(recipe, server),
    herdBound(recipe, server),
  ]
}

/** Whoever gives up, wherever it waits, leaves no key, no watch and no listener, and the next gets its turn. */
export function abortedWaitLeavesNothing<Handle extends Owned>(
  recipe: Recipe<Handle>,
  server: Server,
): Trait {
  return trait(`${recipe.called}: an aborted wait leaves nothing`, async t => {
    const runtime = testRuntime()
    const front = await sessionPlayer(t, server())
    const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
    const name = nameOf(t)
    const first = await recipe.acquire(front.session, name)
    const leaving = new AbortController()
    const waiting = t.throwsAsync(recipe.acquire(session, name, { signal: leaving.signal }), {
      message: 'leaves',
    })
    const behind = t.throwsAsync(recipe.acquire(session, name, { signal: leaving.signal }), {
      message: 'leaves',
    })
    await line(front.etcd, name, recipe.keys === 'many' ? 3 : 2)
    leaving.abort(new Error('leaves'))
    await Promise.all([waiting, behind])
    await line(front.etcd, name, 1)
    await recipe.release(first)
    const next = await recipe.acquire(session, name)
    t.true(next.held)
    await recipe.release(next)
    t.deepEqual(await keysOf(front.etcd, name), [])
    runtime.fire(WATCH_LINGER_MS)
    await turns()
    t.deepEqual(net.watches, [])
    t.is(session.ownKeys.size, 0)
    await etcd.close()
  })
}

/** When the session is lost, whoever waits rejects, whoever holds is told in the same turn, and nothing is granted. */
export function sessionLossRejectsAndAborts<Handle extends Owned>(
  recipe: Recipe<Handle>,
  server: Server,
): Trait {
  return trait(`${recipe.called}: the loss of the session rejects waits and aborts handles`, async t => {
    const runtime = testRuntime()
    const front = await sessionPlayer(t, server())
    const { session } = await sessionPlayer(t, server(), {}, { runtime })
    const [free, taken] = [`${nameOf(t)}-free`, `${nameOf(t)}-taken`]
    const handle = await recipe.acquire(session, free)
    const theirs = await recipe.acquire(front.session, taken)
    const waiting = t.throwsAsync(recipe.acquire(session, taken))
    await line(front.etcd, taken, 2)
    runtime.stall(session.ttl * 1000)
    t.is(session.state, 'lost')
    t.true(EtcdError.is(handle.signal.reason, 'SESSION_LOST'))
    t.false(handle.held)
    t.true(EtcdError.is(await waiting, 'SESSION_LOST'))
    t.true(EtcdError.is(await t.throwsAsync(recipe.acquire(session, free)), 'SESSION_LOST'))
    await recipe.release(handle)
    await line(front.etcd, taken, 1)
    await line(front.etcd, free, 0)
    await recipe.release(theirs)
  })
}

/** A closed session grants nothing, and sends nothing. */
export function closedSessionRejects<Handle extends Owned>(recipe: Recipe<Handle>, server: Server): Trait {
  return trait(`${recipe.called}: a closed session rejects`, async t => {
    const { net, session } = await sessionPlayer(t, server())
    await session.close()
    const before = net.sent.length
    const error = await t.throwsAsync(recipe.acquire(session, nameOf(t)))
    t.true(EtcdError.is(error, 'SESSION_CLOSED'))
    t.is(net.sent.length, before)
  })
}

/** Releasing twice, at once, after the key is gone and after close is quiet, and never frees somebody else. */
export function releaseIsIdempotent<Handle extends Owned>(recipe: Recipe<Handle>, server: Server): Trait {
  return trait(`${recipe.called}: release is idempotent`, async t => {
    const { etcd, net, session } = await sessionPlayer(t, server())
    const name = nameOf(t)
    const first = await recipe.acquire(session, name)
    await Promise.all([recipe.release(first), recipe.release(first)])
    const second = await recipe.acquire(session, name)
    const before = net.sent.length
    await recipe.release(first)
    t.is(net.sent.length, before)
    t.true(second.held)
    t.true(second.fencingToken > first.fencingToken)
    const [key] = await keysOf(etcd, name)
    await etcd.delete(Buffer.from(key!, 'latin1'))
    await recipe.release(second)
    const third = await recipe.acquire(session, name)
    await session.close()
    await recipe.release(third)
    t.true(third.signal.aborted)
  })
}

/** Each step costs what the documentation says. */
export function roundTripBudget<Handle extends Owned>(recipe: Recipe<Handle>, server: Server): Trait {
  return trait(`${recipe.called}: round trips stay within the budget`, async t => {
    const front = await sessionPlayer(t, server())
    const { net, session } = await sessionPlayer(t, server())
    const name = nameOf(t)
    const { result: handle, trips: acquiring } = await cost(net, () => recipe.acquire(session, name))
    const { trips: releasing } = await cost(net, () => recipe.release(handle))
    const theirs = await recipe.acquire(front.session, name)
    const waiting = recipe.acquire(session, name)
    await net.watching(() => true)
    await quiet(net)
    const { trips: handingOver } = await cost(net, async () => {
      await recipe.release(theirs)
      return waiting
    })
    t.deepEqual({ acquire: acquiring, release: releasing, handOff: handingOver }, recipe.roundTrips)
  })
}

/** A release is one message to each client that waits, however many of its sessions do. */
export function herdBound<Handle extends Owned>(recipe: Recipe<Handle>, server: Server): Trait {
  return trait(`${recipe.called}: a release is one message for each client that waits`, async t => {
    t.timeout(20_000)
    const front = await sessionPlayer(t, server())
    const { etcd, net } = await player(t, server())
    const name = nameOf(t)
    const first = await recipe.acquire(front.session, name)
    const sessions = await Promise.all(Array.from({ length: 20 }, () => etcd.session()))
    const waiting = sessions.map(session => recipe.acquire(session, name))
    await line(front.etcd, name, sessions.length + 1)
    await net.watching(() => true)
    await quiet(net)
    const before = net.deliveries
    if (recipe.keys !== 'many') t.is(before, 0)
    await recipe.release(first)
    let releases = 1
    for (const turn of await inOrder(front, name, sessions, waiting)) {
      const handle = await turn
      t.is(net.deliveries - before, releases)
      await recipe.release(handle)
      releases += 1
    }
  })
}

/** Longer than any watch of a line stays after the last acquisition. */
const WATCH_LINGER_MS = 3000

async function inOrder<Handle>(
  { etcd }: SessionPlayer,
  name: string,
  sessions: readonly Session[],
  waiting: readonly Promise<Handle>[],
): Promise<readonly Promise<Handle>[]> {
  const leases = (await keysOf(etcd, name)).map(key => key.slice(key.lastIndexOf('/') + 1).split('-')[0])
  const places = sessions.map((session, index) => ({
    at: leases.indexOf(session.leaseId.toString(16)),
    turn: waiting[index]!,
  }))
  return places.toSorted((one, other) => one.at - other.at).map(({ turn }) => turn)
}

async function cost<Result>(
  net: MeddlingTransport,
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly trips: number }> {
  const before = net.sent.length
  const result = await work()
  await quiet(net)
  return { result, trips: net.sent.length - before }
}

function trait(title: string, exec: (t: ExecutionContext<unknown>) => Promise<void>): Trait {
  return { title, exec }
}

function nameOf(t: ExecutionContext<unknown>): string {
  t.context ??= {}
  const context = t.context as { name?: string }
  context.name ??= `${uniquePrefix(t)}of-trait`
  return context.name
}
