import { EtcdError, type Session } from '../../src/index.ts'
import type {
  Acquisition,
  Commit,
  GuardedWrite,
  History,
  Intervention,
  Outcome,
  Read,
  Release,
  Stall,
  Told,
  Watched,
  Write,
} from '../checkers/history.ts'
import type { SessionLife } from '../checkers/sessions.ts'
import type { Seen, Transacted } from '../checkers/transactions.ts'
import { observed } from '../support/observed-run.ts'
import type { Cluster } from './cluster.ts'
import type { SimulatedProcess } from './simulated-process.ts'
import type { World } from './world.ts'

type Mutable<Entry> = { -readonly [Name in keyof Entry]: Entry[Name] }

type TransactionEntry = Omit<Transacted, 'seen' | 'wrote' | 'discarded'>

/** A call under way. Unless it is settled, nobody heard of its end. */
export interface OpenCall<Facts> {
  readonly id: string
  settle(outcome: Outcome, facts?: Facts): void
}

/** A lock as its owner sees it. */
export interface Belief {
  /** Only the first counts. */
  end(loss?: string): void
}

/** What there is to see of a session, its user's or one that a recipe has for itself. */
export type SessionInView = Pick<Session, 'leaseId' | 'state' | 'remainingMs' | 'signal'>

/** What somebody watches. */
export interface OpenWatch {
  told(one: Told): void
  /** Nobody watches any more; all up to this revision was to be told by then. */
  left(owedUntil: bigint): void
}

/** A session somebody relies on. */
export interface OpenSession {
  readonly process: SimulatedProcess
  readonly session: SessionInView
  /** `close` has resolved. */
  closed(): void
}

/** One run of a transaction, as far as it has come. */
export interface TransactionRun {
  readonly seen: readonly Seen[]
  readonly wrote: ReadonlyMap<string, string | undefined>
}

/** Writes down what the processes of a simulation do, in the words of the checkers. */
export class Recorder {
  readonly #world: World
  readonly #acquisitions: { entry: Mutable<Acquisition>; process: SimulatedProcess }[] = []
  readonly #releases: Release[] = []
  readonly #guardedWrites: GuardedWrite[] = []
  readonly #watches: { entry: Mutable<Watched>; told: Told[] }[] = []
  readonly #writes: Write[] = []
  readonly #reads: Read[] = []
  readonly #transactions: { entry: TransactionEntry; runs: readonly TransactionRun[] }[] = []
  readonly #stalls: Mutable<Stall>[] = []
  readonly #interventions: Intervention[] = []
  readonly #suspected: Pick<Intervention, 'at' | 'keys'>[] = []
  readonly #sessions: { readonly entry: Mutable<SessionLife>; readonly open: OpenSession }[] = []
  readonly #cluster: Cluster
  #ids = 0
  #deeds = 0

  constructor(world: World, cluster: Cluster) {
    this.#world = world
    this.#cluster = cluster
  }

  /** What was done so far: acquisitions, reads, writes and transactions that succeeded, and what else was told. */
  get deeds(): number {
    return this.#deeds
  }

  /** Something was done that has no entry of its own here. */
  did(): void {
    this.#deeds += 1
  }

  acquisition(process: SimulatedProcess, line: string): OpenAcquisition {
    const entry = this.#begin<Acquisition>(process, { line })
    this.#acquisitions.push({ entry, process })
    const say = (words: string) => this.#world.tell(() => `${process.name}  ${entry.id} ${words}`)
    say(`waits for ${line}`)
    return {
      id: entry.id,
      line,
      since: entry.invokedAt,
      settle: (outcome, facts) => {
        this.#settle(entry, outcome, facts)
        if (outcome === 'ok') this.did()
        say(outcome === 'ok' ? `HOLDS ${line} with token ${facts?.token}` : `gave up: ${outcome}`)
      },
      belief: {
        end: loss => {
          if (entry.believedUntil !== undefined) return
          entry.believedUntil = this.#world.nowMs
          if (loss !== undefined) entry.loss = loss
          say(`no longer believes in ${line}${loss === undefined ? '' : `: ${loss}`}`)
        },
      },
      forget: () => {
        const index = this.#acquisitions.findIndex(one => one.entry === entry)
        this.#acquisitions.splice(index, 1)
      },
    }
  }

  release(process: SimulatedProcess, acquisition: string, wasHeld: boolean): OpenCall<Record<never, never>> {
    const entry = this.#begin<Release>(process, { acquisition, wasHeld })
    this.#releases.push(entry)
    return { id: entry.id, settle: outcome => this.#settle(entry, outcome) }
  }

  guardedWrite(
    process: SimulatedProcess,
    facts: Pick<GuardedWrite, 'acquisition' | 'key' | 'value'>,
  ): OpenCall<{ readonly revision: bigint }> {
    const entry = this.#begin<GuardedWrite>(process, facts)
    this.#guardedWrites.push(entry)
    return { id: entry.id, settle: (outcome, settled) => this.#settle(entry, outcome, settled) }
  }

  write(
    process: SimulatedProcess,
    facts: Pick<Write, 'key' | 'value'>,
  ): OpenCall<{ readonly revision: bigint }> {
    const entry = this.#begin<Write>(process, facts)
    this.#writes.push(entry)
    return { id: entry.id, settle: (outcome, settled) => this.#done(entry, outcome, settled) }
  }

  read(
    process: SimulatedProcess,
    facts: Pick<Read, 'from' | 'to'>,
  ): OpenCall<Required<Pick<Read, 'revision' | 'found'>>> {
    const entry = this.#begin<Read>(process, facts)
    this.#reads.push(entry)
    return { id: entry.id, settle: (outcome, settled) => this.#done(entry, outcome, settled) }
  }

  /** `runs` goes on to grow: a process that crashes has told of all it did. */
  transaction(
    process: SimulatedProcess,
    runs: readonly TransactionRun[],
  ): OpenCall<{ readonly revision: bigint }> {
    const entry = this.#begin<TransactionEntry>(process, {})
    this.#transactions.push({ entry, runs })
    return { id: entry.id, settle: (outcome, settled) => this.#done(entry, outcome, settled) }
  }

  get transactions(): readonly Transacted[] {
    return this.#transactions.map(({ entry, runs }) => ({
      ...entry,
      ...observed(runs),
    }))
  }

  watch(process: SimulatedProcess, facts: Pick<Watched, 'from' | 'to' | 'since'>): OpenWatch {
    const told: Told[] = []
    const entry: Mutable<Watched> = {
      id: this.#nextId('w'),
      process: process.name,
      ...facts,
      toldUntil: facts.since - 1n,
      told,
    }
    this.#watches.push({ entry, told })
    return {
      told: one => {
        told.push(one)
        entry.toldUntil = one.revision
      },
      left: owedUntil => {
        if (owedUntil > entry.toldUntil) entry.toldUntil = owedUntil
      },
    }
  }

  /** `places`: unless all it asks for is written down, nobody can say what a session wants in a line. */
  session(
    process: SimulatedProcess,
    session: SessionInView,
    places: 'recorded' | 'unrecorded' = 'recorded',
  ): OpenSession {
    const { leaseId: lease } = session
    const entry: Mutable<SessionLife> = {
      id: this.#nextId('s'),
      process: process.name,
      lease,
      openedAt: this.#world.nowMs,
      believedUntil: Infinity,
      ...(places === 'unrecorded' ? { places } : {}),
    }
    this.#cluster.follow(lease)
    const end = () => {
      stopLooking()
      entry.believedUntil = Math.min(entry.believedUntil, this.#world.nowMs)
    }
    const stopLooking = process.onGoingOn(() => {
      // How much time is left is asked only of one that says that it is not well: asking would tell it.
      if (session.state !== 'active' && session.remainingMs === 0) end()
    })
    // Its grant may have taken longer than the lease lasts.
    if (session.remainingMs === 0) end()
    if (!session.signal.aborted) session.signal.addEventListener('abort', end, { once: true })
    const open: OpenSession = {
      process,
      session,
      closed: () => {
        if (!EtcdError.is(session.signal.reason, 'SESSION_CLOSED')) return
        const leaseWasThere = this.#cluster.hasLease(lease) && !this.#cluster.wasGrantedAgain(lease)
        entry.closed ??= { at: this.#world.nowMs, leaseWasThere }
      },
    }
    this.#sessions.push({ entry, open })
    return open
  }

  /** Those that are relied on now. */
  get openSessions(): readonly OpenSession[] {
    return this.#sessions.flatMap(({ entry, open }) =>
      entry.believedUntil === Infinity && !open.process.isCrashed ? [open] : [],
    )
  }

  sessions(): readonly SessionLife[] {
    return this.#sessions.map(({ entry, open: { process } }) => {
      const leaseEnded = this.#cluster.leaseEnd(entry.lease)
      const { crashedAtMs } = process
      return {
        ...entry,
        ...(crashedAtMs === undefined ? {} : { diedAt: crashedAtMs }),
        ...(leaseEnded === undefined ? {} : { leaseEnded }),
      }
    })
  }

  /** A process did not run from then until now. Returns how to say later that it still did not. */
  stall(process: SimulatedProcess, from: number): () => void {
    const stall = { process: process.name, from, until: this.#world.nowMs }
    this.#stalls.push(stall)
    return () => {
      stall.until = this.#world.nowMs
    }
  }

  /** Those that are over. */
  get stalls(): readonly Stall[] {
    return this.#stalls
  }

  intervention(intervention: Intervention): void {
    this.#interventions.push(intervention)
    this.#world.tell(() => `operator  ${intervention.kind} ${intervention.keys.join(', ')}`)
  }

  /** Somebody is about to do what only an operator does to a key; whether it was done may be known much later. */
  suspect(key: string): void {
    this.#suspected.push({ at: this.#world.nowMs, keys: [key] })
  }

  /** May an operator have done anything to one of these keys from then on? */
  mayHaveIntervened(touched: ReadonlySet<string>, since: number): boolean {
    return [...this.#interventions, ...this.#suspected].some(
      ({ at, keys }) => at >= since && keys.some(key => touched.has(key)),
    )
  }

  history(log: readonly Commit[]): History {
    for (const { entry, process } of this.#acquisitions) {
      if (process.crashedAtMs !== undefined) entry.diedAt = process.crashedAtMs
      if (entry.outcome === 'ok') entry.believedUntil ??= Infinity
    }
    return {
      log,
      acquisitions: this.#acquisitions.map(({ entry }) => entry),
      releases: this.#releases,
      guardedWrites: this.#guardedWrites,
      watches: this.#watches.map(({ entry }) => entry),
      writes: this.#writes,
      reads: this.#reads,
      stalls: this.#stalls,
      interventions: this.#interventions,
    }
  }

  #begin<Entry extends { readonly outcome: Outcome }>(
    process: SimulatedProcess,
    facts: object,
  ): Mutable<Entry> & { id: string; settledAt: number } {
    return {
      id: this.#nextId('c'),
      process: process.name,
      invokedAt: this.#world.nowMs,
      settledAt: Infinity,
      outcome: 'unknown',
      ...facts,
    } as unknown as Mutable<Entry> & { id: string; settledAt: number }
  }

  /** Settles a call that is a deed by itself. */
  #done(entry: { settledAt: number; outcome: Outcome }, outcome: Outcome, facts: object | undefined): void {
    this.#settle(entry, outcome, facts)
    if (outcome === 'ok') this.did()
  }

  #settle(
    entry: { settledAt: number; outcome: Outcome },
    outcome: Outcome,
    facts: object | undefined = undefined,
  ): void {
    entry.settledAt = this.#world.nowMs
    entry.outcome = outcome
    Object.assign(entry, facts)
  }

  #nextId(kind: string): string {
    this.#ids += 1
    return `${kind}${this.#ids}`
  }
}

/** What is known of a grant. */
interface Granted extends Required<Pick<Acquisition, 'key' | 'token'>>, Pick<Acquisition, 'resumes'> {}

export interface OpenAcquisition extends OpenCall<Granted> {
  readonly line: string
  /** When it began. */
  readonly since: number
  readonly belief: Belief
  /** It was only tried, and nothing came of it. */
  forget(): void
}
