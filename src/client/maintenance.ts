import { quietController } from '../support/abort.ts'
import { checkOneOf, checkOptions, checkRevision } from '../support/options.ts'
import type { Endpoint } from '../support/transport.ts'
import { EtcdError } from '../wire/errors.ts'
import {
  AlarmAction,
  AlarmType,
  DowngradeAction,
  type SnapshotResponse,
  type StatusResponse,
} from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import { checkMemberId } from './cluster.ts'
import { parseEndpoint } from './endpoint.ts'
import type { Engine } from './engine.ts'
import { checkCall } from './kv.ts'
import { serverStream } from './server-stream.ts'
import type { CallOptions } from './submitter.ts'

/** How one member is. */
export interface MemberStatus {
  readonly memberId: bigint
  /** Of the server program, `3.5.16`. */
  readonly version: string
  /** Of its store. */
  readonly revision: bigint
  /** The id of the member it follows, its own if it leads; 0 when there is no leader. */
  readonly leader: bigint
  readonly isLearner: boolean
  /** Bytes on disk. */
  readonly dbSize: number
  /** Bytes of them that hold something: the rest is what defragmenting gives back. */
  readonly dbSizeInUse: number
  readonly raftTerm: bigint
  readonly raftIndex: bigint
  readonly raftAppliedIndex: bigint
  /** What it has to complain of, alarms included. */
  readonly errors: readonly string[]
}

/** What came of asking one member. */
export type StatusReport =
  | { readonly kind: 'answered'; readonly endpoint: string; readonly status: MemberStatus }
  | { readonly kind: 'failed'; readonly endpoint: string; readonly error: EtcdError }

/** `noSpace`: the quota of the database is used up, writes are refused. `corrupt`: members hold different data. */
export type AlarmKind = 'noSpace' | 'corrupt'

/** An alarm that is raised, and stays until it is disarmed. */
export interface Alarm {
  readonly memberId: bigint
  readonly kind: AlarmKind
}

export interface HashKvOptions extends CallOptions {
  /** Up to which revision; default: the latest of that member. */
  readonly revision?: bigint | undefined
}

export interface KvHash {
  readonly hash: number
  /** What is older was compacted and left out: hashes compare only where this is equal. */
  readonly compactRevision: bigint
  /** Of the store of that member when it answered. */
  readonly revision: bigint
}

export interface SnapshotOptions {
  /** Ends the snapshot. */
  readonly signal?: AbortSignal | undefined
  /** The member to take it from, as given to `connect`. Default: the one this client is connected to. */
  readonly endpoint?: string | undefined
}

/**
 * Looking after the servers. Members are named by their endpoint as it was given to `connect`; one that was not
 * is a TypeError. Calls to one member go to no other, and are answered without a leader, too.
 */
export class Maintenance {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** Resolves with how a member is; without an endpoint, the one this client is connected to. One round trip. */
  async status(endpoint?: string, options: CallOptions = {}): Promise<MemberStatus> {
    options = checkCall(options, [], 'status')
    return this.#status(endpoint === undefined ? undefined : this.#find(endpoint), options)
  }

  /** Resolves with how every endpoint is, in the order given to `connect`; failures are among the results. One round trip to each, at once. */
  async statuses(options: CallOptions = {}): Promise<readonly StatusReport[]> {
    options = checkCall(options, [], 'statuses')
    return Promise.all(this.#engine.connections.endpoints.map(endpoint => this.#report(endpoint, options)))
  }

  /** Resolves with the alarms of all members. One round trip. */
  async alarms(options: CallOptions = {}): Promise<readonly Alarm[]> {
    options = checkCall(options, [], 'alarms')
    const { alarms } = await this.#engine.submitter.submit({
      method: methods.alarm,
      request: { action: AlarmAction.get },
      footprint: 'alone',
      repeat: 'read',
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
    return alarms.map(({ memberId, alarm }) => ({
      memberId,
      kind: alarm === AlarmType.corrupt ? 'corrupt' : 'noSpace',
    }))
  }

  /** Resolves when the alarm is off, also if it was not on. Not repeated when its outcome is unknown. One round trip. */
  async disarm(alarm: Alarm, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'disarm')
    alarm = checkOptions(alarm, ['memberId', 'kind'], 'disarm')
    if (alarm === undefined) throw new TypeError('disarm takes { memberId, kind }')
    const kind = checkOneOf(alarm.kind, ['noSpace', 'corrupt'], 'kind')
    await this.#engine.submitter.submit({
      method: methods.alarm,
      request: {
        action: AlarmAction.deactivate,
        memberId: checkMemberId(alarm.memberId),
        alarm: AlarmType[kind],
      },
      footprint: 'alone',
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
  }

  /**
   * Resolves when that member has given back the disk space it does not use. It answers nothing else meanwhile,
   * and a large database takes longer than the default of `timeoutMs`: the outcome is unknown then. One round trip.
   */
  async defragment(endpoint: string, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'defragment')
    await this.#engine.submitter.submit({
      method: methods.defragment,
      request: {},
      ...toOne(this.#find(endpoint), options),
    })
  }

  /** Resolves with a checksum of the whole database file of that member: what an upgrade leaves unequal, too. One round trip. */
  async hash(endpoint: string, options: CallOptions = {}): Promise<number> {
    options = checkCall(options, [], 'hash')
    const { hash } = await this.#engine.submitter.submit({
      method: methods.hash,
      request: {},
      ...toOne(this.#find(endpoint), options),
    })
    return hash
  }

  /** Resolves with a checksum of all keys of that member. COMPACTED or FUTURE_REVISION if it does not have that revision. One round trip. */
  async hashKv(endpoint: string, options: HashKvOptions = {}): Promise<KvHash> {
    options = checkCall(options, ['revision'], 'hashKv')
    const { revision } = options
    const response = await this.#engine.submitter.submit({
      method: methods.hashKv,
      request: { revision: revision === undefined ? 0n : checkRevision(revision, 'revision', 1n) },
      ...toOne(this.#find(endpoint), options),
    })
    return {
      hash: response.hash,
      compactRevision: response.compactRevision,
      revision: response.header?.revision ?? 0n,
    }
  }

  /**
   * Resolves when another member leads. Only the leader can do that, so its endpoint must be among those given to
   * `connect`, else FAILED_PRECONDITION. One round trip to each endpoint, then one to the leader.
   */
  async moveLeader(targetId: bigint, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'moveLeader')
    checkMemberId(targetId)
    const { runtime, requestTimeoutMs } = this.#engine
    const { signal, timeoutMs = requestTimeoutMs } = options
    const untilMs = runtime.now() + timeoutMs
    const leader = await this.#leader(signal, timeoutMs)
    await this.#engine.submitter.submit({
      method: methods.moveLeader,
      request: { targetId },
      footprint: 'alone',
      only: leader,
      signal,
      timeoutMs: Math.max(1, untilMs - runtime.now()),
    })
  }

  /**
   * The database of one member as a file `etcdutl snapshot restore` takes, piece by piece, read from the server
   * as fast as the pieces are taken. It is complete only when the iteration ends without an error. Ending the
   * iteration early ends the snapshot.
   */
  snapshot(options: SnapshotOptions = {}): AsyncIterable<Uint8Array> {
    options = checkCall(checkOptions(options, ['endpoint', 'signal'], 'snapshot'), ['endpoint'], 'snapshot')
    const only = options.endpoint === undefined ? undefined : this.#find(options.endpoint)
    return { [Symbol.asyncIterator]: () => this.#snapshot(only, options.signal) }
  }

  /** Resolves with the version the cluster can be downgraded to this one from. UNIMPLEMENTED before etcd 3.5. One round trip. */
  validateDowngrade(version: string, options: CallOptions = {}): Promise<string> {
    return this.#downgrade('validate', version, options)
  }

  /** Resolves when members of this older version, `3.4.0`, may join. FAILED_PRECONDITION while a downgrade is under way. UNIMPLEMENTED before etcd 3.5. One round trip. */
  enableDowngrade(version: string, options: CallOptions = {}): Promise<string> {
    return this.#downgrade('enable', version, options)
  }

  /** Resolves when the downgrade is called off. FAILED_PRECONDITION if there is none. UNIMPLEMENTED before etcd 3.5. One round trip. */
  cancelDowngrade(options: CallOptions = {}): Promise<string> {
    return this.#downgrade('cancel', undefined, options)
  }

  async #status(only: Endpoint | undefined, options: CallOptions): Promise<MemberStatus> {
    const response = await this.#engine.submitter.submit({
      method: methods.status,
      request: {},
      ...toOne(only, options),
    })
    return statusOf(response)
  }

  async #report(endpoint: Endpoint, options: CallOptions): Promise<StatusReport> {
    const { url } = endpoint
    try {
      return { kind: 'answered', endpoint: url, status: await this.#status(endpoint, options) }
    } catch (error) {
      if (!EtcdError.is(error) || error.code === 'CLIENT_CLOSED') throw error
      return { kind: 'failed', endpoint: url, error }
    }
  }

  /** Whoever moves the lead may do so because members are down: none is waited for once the leader has answered. */
  async #leader(signal: AbortSignal | undefined, timeoutMs: number): Promise<Endpoint> {
    const { aborts, connections } = this.#engine
    const { endpoints } = connections
    const enough = quietController()
    const stopListening = aborts.on(signal, reason => enough.abort(reason))
    const asked = endpoints.map(endpoint => this.#report(endpoint, { signal: enough.signal, timeoutMs }))
    const all = Promise.all(asked)
    // Where the leader has answered, nobody may be interested any more in those who are not waited for.
    all.catch(() => {})
    const leading = asked.map(async (report, index) =>
      isLeading(await report) ? endpoints[index] : endpoints[(await all).findIndex(isLeading)],
    )
    const leader = await Promise.race(leading).finally(() => {
      stopListening()
      enough.abort()
    })
    if (leader !== undefined) return leader
    const reports = await all
    const said = reports.map(report =>
      report.kind === 'failed'
        ? `${report.endpoint}: ${report.error.message}`
        : `${report.endpoint} follows ${report.status.leader.toString(16)}`,
    )
    throw new EtcdError(
      'FAILED_PRECONDITION',
      `[FAILED_PRECONDITION] MoveLeader was not sent, none of the endpoints leads: ${said.join('; ')}`,
      { outcome: 'not-sent' },
    )
  }

  async #downgrade(
    action: 'validate' | 'enable' | 'cancel',
    version: string | undefined,
    options: CallOptions,
  ): Promise<string> {
    options = checkCall(options, [], `${action}Downgrade`)
    if (action !== 'cancel' && (typeof version !== 'string' || !/^\d+\.\d+(\.\d+)?$/.test(version)))
      throw new TypeError(`a version is a string of the form 3.4.0, got ${JSON.stringify(version)}`)
    const response = await this.#engine.submitter.submit({
      method: methods.downgrade,
      request: { action: DowngradeAction[action], version },
      footprint: 'alone',
      repeat: action === 'validate' ? 'read' : 'once',
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
    return response.version
  }

  async *#snapshot(
    only: Endpoint | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const pieces = new Pieces()
    const options = { only, requireLeader: false, signal }
    const leave = await serverStream(this.#engine, methods.snapshot, {}, options, pieces)
    try {
      for (let piece = await pieces.next(); piece !== undefined; piece = await pieces.next()) yield piece
    } finally {
      leave()
    }
  }

  #find(text: string): Endpoint {
    const { endpoints } = this.#engine.connections
    const { url } = parseEndpoint(text, endpoints[0]!.tls)
    const found = endpoints.find(endpoint => endpoint.url === url)
    if (found !== undefined) return found
    throw new TypeError(
      `${url} is none of the endpoints of this client: ${endpoints.map(endpoint => endpoint.url).join(', ')}`,
    )
  }
}

/** The pieces of a snapshot between the stream that brings them and the iteration that takes them. */
class Pieces {
  readonly #ready: Uint8Array[] = []
  #end: { readonly error: unknown } | 'complete' | undefined
  #remainingBytes: bigint | undefined
  /** Lets the iteration look again. */
  #wake: () => void = () => {}
  /** Lets the stream bring the next piece. */
  #taken: () => void = () => {}

  onMessage({ blob, remainingBytes }: SnapshotResponse): Promise<void> {
    this.#ready.push(blob)
    this.#remainingBytes = remainingBytes
    this.#wake()
    return new Promise(resolve => {
      this.#taken = resolve
    })
  }

  onComplete(): void {
    if (this.#remainingBytes === 0n) {
      this.#end ??= 'complete'
      return this.#wake()
    }
    const left = this.#remainingBytes === undefined ? 'everything' : `${this.#remainingBytes} bytes`
    this.onEnd(
      new EtcdError('PROTOCOL', `[PROTOCOL] the snapshot ended with ${left} missing`, { outcome: 'unknown' }),
    )
  }

  onEnd(error: unknown): void {
    this.#end ??= { error }
    this.#wake()
  }

  /** The next piece, undefined after the last. What went wrong comes at once, before pieces that wait. */
  async next(): Promise<Uint8Array | undefined> {
    if (this.#ready.length === 0) this.#taken()
    for (;;) {
      if (typeof this.#end === 'object') throw this.#end.error
      const piece = this.#ready.shift()
      if (piece !== undefined) return piece
      if (this.#end === 'complete') return undefined
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }
}

function isLeading(report: StatusReport): boolean {
  return report.kind === 'answered' && report.status.leader === report.status.memberId
}

/** How a call to one member is made: nobody else can answer it, and it needs no leader. */
function toOne(only: Endpoint | undefined, { signal, timeoutMs }: CallOptions) {
  return { footprint: 'alone', consistency: 'serializable', only, signal, timeoutMs } as const
}

function statusOf(response: StatusResponse): MemberStatus {
  const { version, leader, isLearner, raftTerm, raftIndex, raftAppliedIndex, errors } = response
  return {
    memberId: response.header?.memberId ?? 0n,
    version,
    revision: response.header?.revision ?? 0n,
    leader,
    isLearner,
    dbSize: Number(response.dbSize),
    dbSizeInUse: Number(response.dbSizeInUse),
    raftTerm,
    raftIndex,
    raftAppliedIndex,
    errors,
  }
}
