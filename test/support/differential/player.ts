import type { Init } from '../../../src/wire/codec.ts'
import {
  AlarmAction,
  FilterType,
  type WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../../../src/wire/gen/rpc.g.ts'
import { type Method, methods } from '../../../src/wire/methods.ts'
import { ROOT_PASSWORD } from './generator.ts'
import type { Situation } from './known-differences.ts'
import { normalised, observed } from './observation.ts'
import { type Caller, type CallStep, type PlainObject, resolved, Since, type Step } from './script.ts'
import type { Conversation, Reply, Target } from './target.ts'

type WatchStream = Conversation<WatchRequest, WatchResponse>

/** A watch of the script and what it was told. */
interface Watched {
  readonly stream: WatchStream
  readonly id: bigint
  readonly key: Uint8Array
  readonly startRevision: bigint
  /** The last event of a mark that its filters let through. */
  readonly marked: 'put' | 'deletion'
  /** Ids are used again: what came on the stream before and after is of other watches. */
  readonly since: number
  until: number | undefined
}

type WatchCreation = Init<WatchCreateRequest> & { readonly key: Uint8Array }

/** The marks set at the end and after opening a watch in the past. No script writes this value. */
const MARK = Buffer.from('mark')
const FIRST_KEY = Uint8Array.of(0)
const UNBOUNDED = 2n ** 63n
/** Longer than any answer takes: what is not there by then does not come. */
const PATIENCE_MS = 5000
const POLL_MS = 20

/**
 * Plays a script on one server. The server is emptied before, and whatever a script waits for it waits for by
 * its own marks: keys written so that a watch must tell them, since how long a real server takes until it
 * serves a watch of the past is its own affair.
 */
export class Player {
  readonly #target: Target
  readonly #tokens = new Map<string, string>()
  readonly #streams = new Map<string, WatchStream>()
  readonly #watches = new Map<number, Watched>()
  #base = 0n
  #authBase = 0n
  #authEnabled = false
  /** Counted as scripts count. */
  #compacted = 0n
  #rootToken: string | undefined

  constructor(target: Target) {
    this.#target = target
  }

  /** A request ended the server. */
  get isGone(): boolean {
    return this.#target.isGone
  }

  /** What known differences depend on. */
  get situation(): Situation {
    return {
      authEnabled: this.#authEnabled,
      carriesToken: caller => this.#tokenOf(caller) !== undefined,
      lostWatch: [...this.#watches.values()].some(
        watched => (this.#cancellation(watched)?.compactRevision ?? 0n) !== 0n,
      ),
      compacted: this.#compacted,
    }
  }

  /** Empties the server, whatever the script before left in it. */
  async begin(): Promise<void> {
    this.#tokens.clear()
    this.#streams.clear()
    this.#watches.clear()
    this.#compacted = 0n
    await this.#disarm()
    await this.#disableAuth()
    for (const name of (await this.#must(methods.userList, {})).users)
      await this.#must(methods.userDelete, { name })
    for (const role of (await this.#must(methods.roleList, {})).roles)
      await this.#must(methods.roleDelete, { role })
    for (const { id } of (await this.#must(methods.leaseLeases, {})).leases)
      await this.#must(methods.leaseRevoke, { id })
    await this.#must(methods.put, { key: FIRST_KEY, value: MARK })
    const emptied = await this.#must(methods.deleteRange, { key: FIRST_KEY, rangeEnd: FIRST_KEY })
    this.#base = emptied.header?.revision ?? 0n
    await this.#must(methods.compact, { revision: this.#base, physical: true })
    const status = await this.#target.call(methods.authStatus, {})
    this.#authBase = status.kind === 'answer' ? status.message.authRevision : 0n
  }

  /** What the step came to, ids and clocks taken out. */
  async play(step: Step): Promise<unknown> {
    switch (step.kind) {
      case 'call': {
        const method = methods[step.method] as Method<unknown, unknown>
        const request = resolved(step.request, this.#base) as PlainObject
        const reply = await this.#target.call(method, request, this.#tokenOf(step.caller))
        if (reply.kind === 'answer') this.#follow(step)
        return this.#observed(reply)
      }
      case 'sign-in': {
        const { user: name, password } = step
        const reply = await this.#target.call(methods.authenticate, { name, password })
        if (reply.kind === 'answer') this.#tokens.set(name, reply.message.token)
        return this.#observed(reply)
      }
      case 'watch':
        return this.#watch(step.watch, step.request, step.caller)
      case 'cancel':
        return this.#cancel(step.watch)
      case 'progress':
        return this.#progress()
      case 'keep-alive': {
        const stream = this.#target.open(methods.leaseKeepAlive, this.#tokenOf(step.caller))
        stream.send({ id: step.lease })
        await this.#patiently(stream.until(() => stream.messages.length > 0))
        const [message] = stream.messages
        stream.cancel()
        if (message === undefined) return { ended: stream.end?.message }
        return normalised(message, this.#base, this.#authBase)
      }
      case 'outlive':
        return this.#outlive(step.lease)
    }
  }

  /** What the watches were told, after everything they can be told has arrived. */
  async end(): Promise<unknown> {
    await this.#disarm()
    await this.#disableAuth()
    const told: unknown[] = []
    // Marks of other watches come on top of its own: what is told after that is not waited for.
    for (const [watch, watched] of this.#watches)
      told.push({ watch, ...this.#told(watched, await this.#mark(watched)) })
    for (const stream of this.#streams.values()) stream.cancel()
    return told
  }

  async #outlive(id: bigint): Promise<unknown> {
    for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += POLL_MS) {
      const { ttl } = await this.#must(methods.leaseTimeToLive, { id })
      if (ttl === -1n) return 'over'
      await new Promise(resolve => setTimeout(resolve, POLL_MS))
    }
    return 'not over'
  }

  // watches

  async #watch(watch: number, plain: PlainObject, caller: Caller): Promise<unknown> {
    const stream = this.#streamOf(caller)
    const request = resolved(plain, this.#base) as WatchCreation
    const before = stream.messages.length
    const created = () => stream.messages.slice(before).find(message => message.created)
    stream.send({ request: { kind: 'create', value: request } })
    await this.#patiently(stream.until(() => created() !== undefined))
    const answer = created()
    if (answer === undefined) return { ended: stream.end?.message ?? 'no answer' }
    if (!answer.canceled) {
      const key = request.key.length === 0 ? FIRST_KEY : request.key
      const startRevision = request.startRevision ?? 0n
      const marked = request.filters?.includes(FilterType.noDelete) ? 'put' : 'deletion'
      const watched: Watched = {
        stream,
        id: answer.watchId,
        key,
        startRevision,
        marked,
        since: before,
        until: undefined,
      }
      this.#watches.set(watch, watched)
      // A real server serves the past at its next tick. Until then a compaction would end the watch, so wait.
      if (startRevision !== 0n) await this.#mark(watched)
    }
    return normalised(answer, this.#base, this.#authBase)
  }

  async #cancel(watch: number): Promise<unknown> {
    const watched = this.#watches.get(watch)
    if (watched === undefined || watched.until !== undefined || (await this.#isCancelled(watched)))
      return 'nothing to cancel'
    await this.#mark(watched)
    watched.stream.send({ request: { kind: 'cancel', value: { watchId: watched.id } } })
    const answered = await this.#patiently(
      watched.stream.until(() => this.#cancellation(watched) !== undefined),
    )
    watched.until = watched.stream.messages.length
    return answered ? normalised(this.#cancellation(watched), this.#base, this.#authBase) : 'no answer'
  }

  async #progress(): Promise<unknown> {
    const live = [...this.#watches.values()].find(watched => watched.until === undefined)
    if (live === undefined || (await this.#isCancelled(live))) return 'nothing to ask'
    const { stream } = live
    const before = stream.messages.length
    const answer = () => stream.messages.slice(before).find(({ watchId }) => watchId === -1n)
    stream.send({ request: { kind: 'progress', value: {} } })
    const answered = await this.#patiently(stream.until(() => answer() !== undefined))
    return answered ? normalised(answer(), this.#base, this.#authBase) : 'no answer'
  }

  /** Writes and deletes the first key the watch must tell about, and waits until it has told the revision it resolves with. */
  async #mark(watched: Watched): Promise<bigint> {
    if (watched.until !== undefined) return UNBOUNDED
    const token = this.#authEnabled ? this.#rootToken : undefined
    const put = await this.#target.call(methods.put, { key: watched.key, value: MARK }, token)
    const gone = await this.#target.call(methods.deleteRange, { key: watched.key }, token)
    if (put.kind === 'refusal' || gone.kind === 'refusal') return UNBOUNDED
    const revision = (watched.marked === 'put' ? put : gone).message.header?.revision ?? 0n
    if (watched.startRevision > revision) return revision
    const told = ({ canceled, events }: WatchResponse) =>
      canceled || events.some(({ kv }) => (kv?.modRevision ?? 0n) >= revision)
    await this.#patiently(watched.stream.until(() => this.#responses(watched).some(told)))
    return revision
  }

  async #isCancelled(watched: Watched): Promise<boolean> {
    await this.#mark(watched)
    return this.#cancellation(watched) !== undefined
  }

  #cancellation(watched: Watched): WatchResponse | undefined {
    return this.#responses(watched).find(({ canceled }) => canceled)
  }

  #responses({ stream, id, since, until }: Watched): readonly WatchResponse[] {
    return stream.messages.slice(since, until).filter(({ watchId }) => watchId === id)
  }

  /** The events one after the other, and whether a revision was ever torn: how many come together is the server's affair. */
  #told(watched: Watched, until: bigint): Readonly<Record<string, unknown>> {
    const responses = this.#responses(watched)
    let last = 0n
    let torn = false
    for (const { events, fragment } of responses) {
      const first = events[0]?.kv?.modRevision
      if (first === undefined) continue
      if (first <= last && !fragment) torn = true
      last = events.at(-1)?.kv?.modRevision ?? last
    }
    const events = responses
      .flatMap(response => response.events)
      .filter(({ kv }) => (kv?.modRevision ?? 0n) <= until)
    return normalised(
      { torn, events, cancelled: this.#cancellation(watched) },
      this.#base,
      this.#authBase,
    ) as Readonly<Record<string, unknown>>
  }

  /** A stream keeps the token it was opened with. */
  #streamOf(caller: Caller): WatchStream {
    const token = this.#tokenOf(caller)
    const name = token ?? ''
    const found = this.#streams.get(name)
    if (found !== undefined && found.end === undefined) return found
    const opened = this.#target.open(methods.watch, token)
    this.#streams.set(name, opened)
    return opened
  }

  // users

  #tokenOf(caller: Caller): string | undefined {
    if (caller === 'nobody') return undefined
    if (caller === 'impostor') return 'somebody.1'
    return this.#tokens.get(caller.user)
  }

  #follow({ method, request }: CallStep): void {
    if (method === 'authDisable') this.#authEnabled = false
    if (method === 'authEnable') this.#authEnabled = true
    if (method !== 'compact') return
    const { revision } = request as PlainObject
    if (revision instanceof Since) this.#compacted = revision.offset
  }

  /** Marks need a token that no script can lose. */
  async signInAsRoot(): Promise<void> {
    const reply = await this.#target.call(methods.authenticate, { name: 'root', password: ROOT_PASSWORD })
    if (reply.kind === 'answer') this.#rootToken = reply.message.token
  }

  async #disableAuth(): Promise<void> {
    if (this.#authEnabled) {
      await this.signInAsRoot()
      await this.#must(methods.authDisable, {}, this.#rootToken)
    }
    this.#authEnabled = false
    this.#rootToken = undefined
  }

  // alarms

  /** Nothing could be written against them. */
  async #disarm(): Promise<void> {
    for (const alarm of (await this.#must(methods.alarm, {})).alarms)
      await this.#must(methods.alarm, { ...alarm, action: AlarmAction.deactivate })
  }

  #observed(reply: Reply<unknown>): unknown {
    return observed(reply, this.#base, this.#authBase)
  }

  async #must<Request, Response>(
    method: Method<Request, Response>,
    request: Parameters<Method<Request, Response>['request']['encode']>[0],
    token?: string,
  ): Promise<Response> {
    const reply = await this.#target.call(method, request, token)
    if (reply.kind === 'answer') return reply.message
    throw new Error(`${this.#target.name} refused ${method.path}: ${reply.message}`)
  }

  /** False when it takes too long. */
  async #patiently(event: Promise<boolean>): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>(resolve => {
      timer = setTimeout(() => resolve(false), PATIENCE_MS)
    })
    try {
      return await Promise.race([event, late])
    } finally {
      clearTimeout(timer)
    }
  }
}
