import type { SessionContext } from '../../../src/session/session-context.ts'
import { type Claim, claimFailed, endTurns, type Stand, takeTurns } from '../line/claim.ts'
import { entryOf, isForeign } from '../line/entry.ts'
import { Lines } from '../line/lines.ts'
import { oneAtATime } from '../line/rule.ts'
import { firstOf, orAborted } from '../signals.ts'
import { candidateOf, candidateValue, type LeadKeys } from './candidate-entry.ts'
import { CandidateView } from './candidate-view.ts'
import { type CandidateStands, claimVacancy, enter, lookAtOwn, type Standing } from './candidate-wire.ts'

/** How much longer than the one ranked before it a candidate waits before it claims what nobody has claimed. */
export const STAGGER_MS = 500
/** The news that we are no candidate any more may come before the news that we lead, since they are two watches. */
const OTHER_NEWS_MS = 50

export interface Campaigning {
  readonly session: SessionContext
  readonly keys: LeadKeys
  readonly priority: number
  /** What is to be proclaimed; left out, what the session says of itself. */
  readonly value: Uint8Array | undefined
  readonly signal: AbortSignal
}

/** A leadership, and what its key says. */
export interface Elected {
  readonly claim: Claim
  readonly value: Uint8Array
}

/**
 * Stands for an election until it leads. The key of the leader is created only when there is none; who creates it
 * is decided by rank, so that not everybody tries, and by time, so that a favourite who does not move is passed by.
 *
 * A candidate is used up by becoming the leader, by its own hand or by that of the leader before: however late an
 * attempt is applied, it makes nobody a leader twice. What may be left behind when this rejects goes with the
 * session: whoever called closes it.
 */
export async function campaign(campaigning: Campaigning): Promise<Elected> {
  const { session, signal } = campaigning
  signal.throwIfAborted()
  session.assertOpen()
  const { abort, stop } = firstOf(session.engine, [signal, session.closing])
  try {
    const stands = await takeBothTurns(campaigning)
    return await new Campaign(campaigning, stands, abort.signal).run()
  } catch (error) {
    throw claimFailed(session, error)
  } finally {
    stop()
  }
}

async function takeBothTurns({
  session,
  keys,
  priority,
  value,
  signal,
}: Campaigning): Promise<CandidateStands> {
  const place = session.placeValue()
  const leader = { prefix: keys.leaders, rule: oneAtATime, value: value ?? place }
  const candidate = {
    prefix: keys.candidates,
    rule: oneAtATime,
    value: candidateValue(priority, place, value),
  }
  const stands = await takeTurns(session, [leader, candidate], signal)
  const of = (prefix: Uint8Array): Stand => stands.find(stand => stand.prefix === prefix)!
  return { leader: of(keys.leaders), candidate: of(keys.candidates) }
}

class Campaign {
  readonly #session: SessionContext
  readonly #keys: LeadKeys
  readonly #stands: CandidateStands
  readonly #signal: AbortSignal

  constructor({ session, keys }: Campaigning, stands: CandidateStands, signal: AbortSignal) {
    this.#session = session
    this.#keys = keys
    this.#stands = stands
    this.#signal = signal
  }

  async run(): Promise<Elected> {
    const createRevision = await this.#untilCreated()
    // The turn may come to a machine that slept, or in the moment the session is lost.
    await orAborted(this.#session.engine, [this.#signal], this.#session.reliable())
    this.#signal.throwIfAborted()
    const { leader, candidate } = this.#stands
    leader.own.granted(createRevision)
    endTurns([candidate])
    return { claim: { stands: [leader], createRevision, adopted: false }, value: leader.value }
  }

  /** Resolves with the revision our key of the leader was created at. */
  async #untilCreated(): Promise<bigint> {
    for (;;) {
      const entered = await enter(this.#session, this.#keys, this.#stands, { signal: this.#signal })
      if (entered.kind === 'leads') return entered.revision
      const leads = this.#ownLeader(entered)
      if (leads !== undefined) return leads
      const { candidate } = entered
      // Somebody was told of that leader key, so it must go before we stand again.
      if (candidate === undefined) await this.#removeOld(entered)
      else {
        const created = await this.#untilChosen(candidate.createRevision)
        if (created !== undefined) return created
      }
    }
  }

  /** Undefined when our candidate was deleted by somebody who did not make us the leader. */
  async #untilChosen(candidateRevision: bigint): Promise<bigint | undefined> {
    const { engine, ttl } = this.#session
    const { leader, candidate } = this.#stands
    candidate.own.granted(candidateRevision)
    const view = new CandidateView(engine, this.#keys, ttl * 1000)
    let vacantSinceMs: number | undefined
    let unlistedSinceMs: number | undefined
    /** A claim was refused because of a leader created at this revision: until the view has it, it knows less. */
    let atLeast = 0n
    try {
      for (;;) {
        const patienceMs =
          unlistedSinceMs === undefined ? this.#patienceMs(view, vacantSinceMs) : OTHER_NEWS_MS
        await view.change(this.#signal, patienceMs)
        if (!view.isKnown) continue
        this.#nameForeign(view)
        const chosen = this.#ownLeader({ leader: view.leader(leader.own.key) })
        if (chosen !== undefined) return chosen
        const isListed = view.candidates.some(
          ({ leaseId, createRevision }) =>
            leaseId === this.#session.leaseId && createRevision === candidateRevision,
        )
        if (isListed) unlistedSinceMs = undefined
        else {
          unlistedSinceMs ??= engine.runtime.now()
          if (engine.runtime.now() - unlistedSinceMs < OTHER_NEWS_MS) continue
          const standing = await lookAtOwn(this.#session, this.#keys, this.#stands, { signal: this.#signal })
          const leads = this.#ownLeader(standing)
          if (leads !== undefined) return leads
          if (standing.candidate?.createRevision !== candidateRevision) return undefined
          if (candidateOf(standing.candidate, this.#keys) !== undefined) continue
          // Somebody wrote over it: it is no candidate to anybody, and may stay for ever.
          await candidate.own.remove(candidateRevision)
          return undefined
        }
        if (!view.isVacant || view.leadersRevision < atLeast) {
          vacantSinceMs = undefined
          continue
        }
        vacantSinceMs ??= engine.runtime.now()
        if (this.#patienceMs(view, vacantSinceMs) > 0) continue
        const claimed = await claimVacancy(this.#session, this.#keys, this.#stands, {
          candidateRevision,
          signal: this.#signal,
        })
        if (claimed.kind === 'leads') return claimed.revision
        const leads = this.#ownLeader(claimed)
        if (leads !== undefined) return leads
        if (claimed.candidate?.createRevision !== candidateRevision) return undefined
        vacantSinceMs = undefined
        atLeast = claimed.head?.createRevision ?? claimed.revision
      }
    } finally {
      view.stop()
    }
  }

  /** How long it is to wait for those ranked before it to claim a vacancy. */
  #patienceMs(view: CandidateView, vacantSinceMs: number | undefined): number {
    if (vacantSinceMs === undefined) return Number.POSITIVE_INFINITY
    const rank = view.candidates.findIndex(({ leaseId }) => leaseId === this.#session.leaseId)
    return Math.max(0, vacantSinceMs + rank * STAGGER_MS - this.#session.engine.runtime.now())
  }

  /** When our key of the leader was created, unless somebody was told that token before. */
  #ownLeader({ leader }: Pick<Standing, 'leader'>): bigint | undefined {
    const { own } = this.#stands.leader
    if (leader === undefined || !own.mayAdopt(leader.createRevision)) return undefined
    return leader.lease === this.#session.leaseId ? leader.createRevision : undefined
  }

  /** Whatever stands among the leaders keeps everybody from leading. */
  #nameForeign(view: CandidateView): void {
    const { leaders } = this.#keys
    const lines = this.#session.engine.shared(Lines)
    for (const kv of view.leaders) {
      const entry = entryOf(kv)
      if (isForeign(entry, leaders.length, 'one')) lines.nameForeign(entry, leaders)
    }
  }

  async #removeOld({ leader }: Standing): Promise<void> {
    if (leader !== undefined) await this.#stands.leader.own.remove(leader.createRevision)
    this.#signal.throwIfAborted()
    this.#session.assertAlive()
  }
}
