import { Code } from '../support/codes.ts'
import type { Runtime, Timer } from '../support/runtime.ts'
import type { CallMetadata } from '../support/transport.ts'
import { methods } from '../wire/methods.ts'
import { DelayLine } from './delay-line.ts'
import type { Aftermath, CallFaults, FaultRules } from './fault-rules.ts'
import type { Member } from './member.ts'
import type { CallContext, Inlet, Outlet, Route, StreamRoute, UnaryRoute } from './service.ts'
import type { Settings } from './settings.ts'
import { StatusError } from './status-error.ts'
import { refuse } from './statuses.ts'

/** What gRPC itself may add to a request, as etcd allows it. */
const OVERHEAD_BYTES = 512 * 1024

/**
 * How much of a watch may wait for a slow reader. etcd leaves such a watch behind, and serves it from its history
 * later; here the stream ends behind what waits, and the client asks for the rest of the history itself.
 */
const BACKLOG_BYTES = 64 * 1024 * 1024

/** How a call is answered, once. */
export type Reply =
  | { readonly kind: 'answer'; readonly message: Uint8Array }
  | { readonly kind: 'error'; readonly error: StatusError }

/** A connection as the member behind it can end it. */
export interface Connection {
  /** No new calls; those under way go on. */
  goAway(): void
  /** At once, with all its calls. */
  destroy(): void
}

/** A stream as the carrier of its bytes empties it. */
export interface Carrier extends Outlet<Uint8Array> {
  /** What was sent and has not been taken yet. Left out: nothing ever waits. */
  readonly backlogBytes?: number
}

/** A stream as the carrier of its bytes feeds it. */
export interface StreamCall extends Inlet<Uint8Array> {
  cancel(): void
}

export interface FrontParts {
  readonly runtime: Runtime
  readonly settings: Settings
  readonly routes: ReadonlyMap<string, Route>
  readonly rules: FaultRules
  /** How long a member without a leader keeps the streams that asked for one. Default: 0. */
  readonly leaderNoticeMs?: number
}

/**
 * Where calls to one member arrive, whoever carries their bytes: finds their route, plays the faults, and
 * ends what is under way when the member goes.
 */
export class Front {
  readonly member: Member
  readonly #parts: FrontParts
  readonly #index: number
  readonly #calls = new Set<Call>()
  readonly #connections = new Set<Connection>()
  /** What arrived or should have left while the member stood still. */
  #stopped: (() => void)[] | undefined
  #noticing: Timer | undefined
  #closed = false

  constructor(member: Member, index: number, parts: FrontParts) {
    this.member = member
    this.#index = index
    this.#parts = parts
    member.onLeaderLost(() => this.#noticeLeaderLost())
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** How large a message may be. */
  get receiveLimit(): number {
    return this.#parts.settings.maxRequestBytes + OVERHEAD_BYTES
  }

  /** `reply` is called at most once: never when the call was cancelled or a fault swallowed it. */
  unary(
    path: string,
    request: Uint8Array,
    metadata: CallMetadata,
    reply: (reply: Reply) => void,
  ): { cancel(): void } {
    const call = this.#begin(path, metadata, request.length, 'unary', error =>
      reply({ kind: 'error', error }),
    )
    this.#arrive(call, () => this.#answer(call, path, request, reply))
    return call
  }

  open(path: string, metadata: CallMetadata, out: Carrier): StreamCall {
    const call = this.#begin(path, metadata, 0, 'stream', error => out.end(error))
    let inlet: Inlet<Uint8Array> | undefined
    this.#arrive(call, () => {
      inlet = this.#openRoute(call, path, out)
    })
    return {
      onMessage: message =>
        this.#arrive(call, () => {
          if (this.#isTooLarge(message)) call.end(this.#tooLarge(message))
          else inlet?.onMessage(message)
        }),
      onHalfClose: () => this.#arrive(call, () => inlet?.onHalfClose()),
      cancel: () => call.cancel(),
    }
  }

  /** Whoever connects to a member that stands still gets no further. */
  accept(action: () => void): void {
    this.#pass(action)
  }

  attach(connection: Connection): void {
    this.#connections.add(connection)
  }

  detach(connection: Connection): void {
    this.#connections.delete(connection)
  }

  /** Nothing is looked at and nothing leaves until `resume`. */
  pause(): void {
    this.#stopped ??= []
  }

  resume(): void {
    // What the first of them lead to comes after the last of them: a watch is told in order.
    for (const action of this.#stopped ?? []) if (!this.#closed) action()
    this.#stopped = undefined
  }

  goAway(): void {
    for (const connection of [...this.#connections]) connection.goAway()
  }

  /** Breaks every connection. */
  disconnect(): void {
    for (const connection of [...this.#connections]) connection.destroy()
  }

  /** Ends every stream; connections and unary calls stay. */
  cutStreams(): void {
    for (const call of [...this.#calls]) if (call.isStream) call.end(brokenConnection())
  }

  close(): void {
    this.#closed = true
    this.#stopped = undefined
    this.#noticing?.cancel()
    for (const call of [...this.#calls]) call.end(refuse.stopped())
    this.disconnect()
  }

  /** A member without a leader keeps no stream that asked for one, unless it finds one in time. */
  #noticeLeaderLost(): void {
    if (this.#closed) return
    const { runtime, leaderNoticeMs = 0 } = this.#parts
    this.#noticing?.cancel()
    if (leaderNoticeMs === 0) return this.#endLeaderless()
    this.#noticing = runtime.setTimer(leaderNoticeMs, () => {
      this.#noticing = undefined
      if (!this.member.hasLeader) this.#endLeaderless()
    })
  }

  #endLeaderless(): void {
    for (const call of [...this.#calls]) if (call.isStream && call.wantsLeader) call.end(refuse.noLeader())
  }

  #begin(
    path: string,
    metadata: CallMetadata,
    requestBytes: number,
    kind: Route['kind'],
    ended: (error: StatusError) => void,
  ): Call {
    const { rules, runtime } = this.#parts
    const faults = rules.take(path, this.#index)
    const call: Call = new Call(
      { member: this.member, metadata, requestBytes, kind, faults, runtime },
      ended,
      () => this.#calls.delete(call),
    )
    this.#calls.add(call)
    return call
  }

  #answer(call: Call, path: string, request: Uint8Array, reply: (reply: Reply) => void): void {
    const settle = (outcome: Reply) =>
      this.#leave(call, () => {
        call.finish()
        reply(outcome)
      })
    const refuseWith = (error: unknown) => settle({ kind: 'error', error: StatusError.from(error) })
    try {
      if (this.#isTooLarge(request)) throw this.#tooLarge(request)
      const answer = this.#routeFor(call, path, 'unary').answer(request, call)
      if (answer instanceof Promise) answer.then(message => settle({ kind: 'answer', message }), refuseWith)
      else settle({ kind: 'answer', message: answer })
    } catch (error) {
      refuseWith(error)
    }
  }

  #openRoute(call: Call, path: string, out: Carrier): Inlet<Uint8Array> | undefined {
    try {
      return this.#routeFor(call, path, 'stream').open(call, {
        send: message =>
          this.#leave(call, () => {
            const { backlogBytes = 0 } = out
            if (backlogBytes < BACKLOG_BYTES || path !== methods.watch.path) out.send(message)
            else call.end(brokenConnection())
          }),
        end: error =>
          this.#leave(call, () => {
            call.cancel()
            out.end(error)
          }),
      })
    } catch (error) {
      call.end(StatusError.from(error))
      return undefined
    }
  }

  #routeFor(call: Call, path: string, kind: 'unary'): UnaryRoute
  #routeFor(call: Call, path: string, kind: 'stream'): StreamRoute
  #routeFor(call: Call, path: string, kind: Route['kind']): Route {
    const route = this.#parts.routes.get(path)
    if (route === undefined || route.kind !== kind) {
      throw new StatusError(Code.unimplemented, this.#unknown(path))
    }
    if (call.wantsLeader && !this.member.hasLeader) throw refuse.noLeader()
    return route
  }

  #unknown(path: string): string {
    const [, service = '', method = ''] = path.split('/')
    for (const known of this.#parts.routes.keys())
      if (known.startsWith(`/${service}/`)) return `unknown method ${method} for service ${service}`
    return `unknown service ${service}`
  }

  /** On the way in: after its delay, in order, unless it is dropped. */
  #arrive(call: Call, action: () => void): void {
    const { drop } = call.faults
    if (drop !== undefined) this.#pass(() => call.lose(drop))
    else call.inbound(() => this.#pass(() => call.run(action)))
  }

  /** On the way out, unless it is lost. */
  #leave(call: Call, action: () => void): void {
    const { lose } = call.faults
    if (lose !== undefined) this.#pass(() => call.lose(lose))
    else call.outbound(() => this.#pass(() => call.run(action)))
  }

  #pass(action: () => void): void {
    if (this.#stopped !== undefined) this.#stopped.push(action)
    else if (!this.#closed) action()
  }

  #isTooLarge(message: Uint8Array): boolean {
    return message.length > this.receiveLimit
  }

  #tooLarge(message: Uint8Array): StatusError {
    const words = `grpc: received message larger than max (${message.length} vs. ${this.receiveLimit})`
    return new StatusError(Code.resourceExhausted, words)
  }
}

/** A connection that broke, as a caller sees it. */
export function brokenConnection(): StatusError {
  return new StatusError(Code.unavailable, 'Connection dropped')
}

interface CallParts {
  readonly member: Member
  readonly metadata: CallMetadata
  readonly requestBytes: number
  readonly kind: Route['kind']
  readonly faults: CallFaults
  readonly runtime: Runtime
}

/** A call under way. Its end, however it comes, frees what it holds. */
class Call implements CallContext {
  readonly #parts: CallParts
  readonly #ended: (error: StatusError) => void
  readonly #gone: () => void
  #inbound: DelayLine | undefined
  #outbound: DelayLine | undefined
  #cancelActions: (() => void)[] | undefined
  #isOver = false

  constructor(parts: CallParts, ended: (error: StatusError) => void, gone: () => void) {
    this.#parts = parts
    this.#ended = ended
    this.#gone = gone
    const { requestMs, replyMs } = parts.faults
    if (requestMs > 0) this.#inbound = new DelayLine(parts.runtime, requestMs)
    if (replyMs > 0) this.#outbound = new DelayLine(parts.runtime, replyMs)
  }

  get member(): Member {
    return this.#parts.member
  }

  get metadata(): CallMetadata {
    return this.#parts.metadata
  }

  get requestBytes(): number {
    return this.#parts.requestBytes
  }

  get isStream(): boolean {
    return this.#parts.kind === 'stream'
  }

  get faults(): CallFaults {
    return this.#parts.faults
  }

  /** The caller would rather fail than wait for a leader. */
  get wantsLeader(): boolean {
    return this.metadata.hasleader === 'true'
  }

  get cancelled(): boolean {
    return this.#isOver
  }

  onCancel(action: () => void): void {
    if (this.#isOver) return action()
    this.#cancelActions ??= []
    this.#cancelActions.push(action)
  }

  inbound(action: () => void): void {
    if (this.#isOver) return
    if (this.#inbound === undefined) action()
    else this.#inbound.run(action)
  }

  outbound(action: () => void): void {
    // Its handler may go on, and there is nobody to delay an answer for.
    if (this.#isOver) return
    if (this.#outbound === undefined) action()
    else this.#outbound.run(action)
  }

  run(action: () => void): void {
    if (!this.#isOver) action()
  }

  /** It was answered. */
  finish(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#cancelActions = undefined
    this.#inbound?.clear()
    this.#outbound?.clear()
    this.#gone()
  }

  /** Nobody waits for its answer any more. */
  cancel(): void {
    const actions = this.#cancelActions ?? []
    this.finish()
    for (const action of actions) action()
  }

  /** Ends it from our side, whatever its handler is doing. */
  end(error: StatusError): void {
    if (this.#isOver) return
    this.cancel()
    this.#ended(error)
  }

  lose(aftermath: Aftermath): void {
    if (aftermath === 'disconnect') this.end(brokenConnection())
  }
}
