import type { ExecutionContext } from 'ava'
import { grpcTransport } from '../../src/client/grpc-transport.ts'
import {
  type ConnectOptions,
  connect,
  type Etcd,
  type KeyRange,
  prefix,
  type Runtime,
  type Session,
  type SessionOptions,
  type Timer,
} from '../../src/index.ts'
import { nodeRuntime } from '../../src/support/node-runtime.ts'
import { mapKey, toBytes } from '../../src/wire/bytes.ts'
import type { Event } from '../../src/wire/gen/kv.g.ts'
import type { RequestOp, TxnRequest, WatchCreateRequest } from '../../src/wire/gen/rpc.g.ts'
import { MeddlingTransport } from '../support/meddling-transport.ts'
import type { TestServer } from '../support/test-server.ts'

type Test = ExecutionContext<unknown>

/** A client that can be meddled with, closed when the test is over. */
export interface Player {
  readonly etcd: Etcd
  readonly net: MeddlingTransport
}

export async function player(t: Test, server: TestServer, options: ConnectOptions = {}): Promise<Player> {
  const net = new MeddlingTransport(server.transport ?? grpcTransport())
  const etcd = await connect(server.endpoints, { ...options, transport: net })
  // What is worth telling an operator is no news in a test, unless it listens itself.
  etcd.on('warning', () => {})
  t.teardown(() => etcd[Symbol.asyncDispose]())
  return { etcd, net }
}

export interface SessionPlayer extends Player {
  readonly session: Session
}

/** A client with a session. */
export async function sessionPlayer(
  t: Test,
  server: TestServer,
  options: SessionOptions = {},
  connectOptions: ConnectOptions = {},
): Promise<SessionPlayer> {
  const { etcd, net } = await player(t, server, connectOptions)
  return { etcd, net, session: await etcd.session(options) }
}

/** A machine whose clocks jump and whose timers fire when the test says so. */
export interface TestRuntime extends Runtime {
  /** All clocks go on by this and no timer has run: an event loop that stood still. */
  stall(ms: number): void
  /** The machine sleeps: all clocks go on but the monotonic one. */
  sleep(ms: number): void
  /** Fires all pending timers that were set to this delay, now. Returns how many there were. */
  fire(delayMs: number): number
  /** How many pending timers were set to this delay. */
  pending(delayMs: number): number
}

export function testRuntime(): TestRuntime {
  const node = nodeRuntime()
  let stalledMs = 0
  let sleptMs = 0
  const pending = new Set<{ delayMs: number; action: () => void; timer: Timer }>()
  return {
    ...node,
    now: () => node.now() + stalledMs,
    wallNow: () => node.wallNow() + stalledMs + sleptMs,
    bootNow: () => (node.bootNow?.() ?? 0) + stalledMs + sleptMs,
    stall: ms => {
      stalledMs += ms
    },
    sleep: ms => {
      sleptMs += ms
    },
    setTimer: (delayMs, action) => {
      const timer = node.setTimer(delayMs, () => {
        pending.delete(entry)
        action()
      })
      const entry = { delayMs, action, timer }
      pending.add(entry)
      return {
        cancel: () => {
          pending.delete(entry)
          timer.cancel()
        },
        unref() {
          timer.unref()
          return this
        },
      }
    },
    pending: delayMs => [...pending].filter(entry => entry.delayMs === delayMs).length,
    fire: delayMs => {
      const due = [...pending].filter(entry => entry.delayMs === delayMs)
      for (const entry of due) {
        pending.delete(entry)
        entry.timer.cancel()
        entry.action()
      }
      return due.length
    },
  }
}

/** Resolves with the keys below the name, the oldest first, once there are so many. */
export async function line(etcd: Etcd, name: string | Uint8Array, length: number): Promise<string[]> {
  const watch = etcd.watch(places(name))
  const events = watch[Symbol.asyncIterator]()
  try {
    await watch.ready
    for (;;) {
      const found = await keysOf(etcd, name)
      if (found.length === length) return found
      await events.next()
    }
  } finally {
    await watch.close()
  }
}

/** The keys that stand in the line of this name now, the oldest first. */
export async function keysOf(etcd: Etcd, name: string | Uint8Array): Promise<string[]> {
  const { kvs } = await etcd.range(places(name))
  return kvs
    .toSorted((one, other) => Number(one.createRevision - other.createRevision))
    .map(({ key }) => mapKey(key))
}

/** The key of a session in the line of this name. */
export function keyIn(session: Session, name: string): string {
  return `${name}/${session.leaseId.toString(16)}`
}

/** Resolves when somebody of this client waits in the line by events alone: watched, and nothing on its way. */
export async function waits(net: MeddlingTransport, name: string): Promise<void> {
  await net.watching(watchOf(name))
  await quiet(net)
}

/** Resolves when no request is on its way and none follows. */
export async function quiet(net: MeddlingTransport): Promise<void> {
  do await turns()
  while (net.unanswered > 0)
}

/** Is this the watch of the whole line, as those who wait in it have it: without puts? */
export function watchOf(name: string): (watch: WatchCreateRequest) => boolean {
  return ({ key, filters }) => mapKey(key) === `${name}/` && filters.length === 1
}

/** Is this a watch of that single key? */
export function watchOfKey(key: string): (watch: WatchCreateRequest) => boolean {
  return watch => mapKey(watch.key) === key && watch.rangeEnd.length === 0
}

/** Is this the transaction that creates that key? */
export function creates(key: string): (txn: TxnRequest) => boolean {
  return ({ success }) =>
    success.some(({ request }) => request?.kind === 'put' && mapKey(request.value.key) === key)
}

/** Is this the transaction that deletes that key? */
export function deletes(key: string): (txn: TxnRequest) => boolean {
  return ({ success }) =>
    success.some(({ request }) => request?.kind === 'deleteRange' && mapKey(request.value.key) === key)
}

/** Is this a transaction that reads that key, and nothing else? */
export function looksAt(key: string): (txn: TxnRequest) => boolean {
  return ({ success }) => success.length > 0 && success.every(isRange) && success.some(rangesOver(key))
}

export function isDeletionOf(key: string): (event: Event) => boolean {
  return ({ type, kv }) => type === 1 && kv !== undefined && mapKey(kv.key) === key
}

/** What became of it so far: pending until it has settled, as seen after everything now due has run. */
export async function stateOf(promise: Promise<unknown>): Promise<'pending' | 'fulfilled' | 'rejected'> {
  const turn = new Promise(resolve => setImmediate(resolve))
  return Promise.race([
    promise.then(
      () => 'fulfilled' as const,
      () => 'rejected' as const,
    ),
    turn.then(() => 'pending' as const),
  ])
}

/** Resolves when the signal aborts, with its reason. */
export function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise(resolve => {
    if (signal.aborted) return resolve(signal.reason)
    signal.addEventListener('abort', () => resolve(signal.reason), { once: true })
  })
}

/** Lets a lot of microtasks and some turns of the event loop go by, for what must not happen in them. */
export async function turns(count = 5): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(resolve => setImmediate(resolve))
}

function places(name: string | Uint8Array): KeyRange {
  return prefix(Buffer.concat([toBytes(name), toBytes('/')]))
}

function isRange({ request }: RequestOp): boolean {
  return request?.kind === 'range'
}

function rangesOver(key: string): (part: RequestOp) => boolean {
  return ({ request }) => request?.kind === 'range' && mapKey(request.value.key) === key
}
