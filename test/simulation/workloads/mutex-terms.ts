import { EtcdError, type Hold, type MutexOptions, type Session } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import { deletionOf } from '../../checkers/deletion-of.ts'
import type { Violation } from '../../checkers/history.ts'
import { checkLossDelay } from '../../checkers/loss-delay.ts'
import { checkRevocations } from '../../checkers/revocations.ts'
import type { Plan } from '../plan.ts'
import { byItsClock, isSlow, roundTripsMs } from '../promptness.ts'
import { Random } from '../random.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import type { Stage } from '../stage.ts'
import { inTime } from './acting.ts'
import { REQUEST_MS } from './standing.ts'

/** What more is asked of the locks of one play: in some nothing, in others by everybody who uses them. */
export interface MutexTerms {
  readonly options: MutexOptions
  /** Some ask holders to unlock, who do as soon as they hear of it. */
  readonly asks: boolean
  /** Some take locks away from their holders. */
  readonly breaks: boolean
}

/** A request to a holder, or a lock taken away. */
interface Deed {
  readonly key: string
  readonly token: bigint
  readonly from: number
  /** When its answer was there; never, if nobody knows what became of it. */
  readonly until: number
}

/** In seconds: requests nobody heard are forgotten after that. */
export const REQUEST_TTL = 5

/** As the own key is: watched from the first, and told within some round trips. */
const HEARD_MS = 1000

export function mutexTermsOf({ seed }: Plan): MutexTerms {
  const random = new Random(seed).fork('terms of mutexes')
  const asks = random.chance(0.3)
  return {
    options: {
      ...(random.chance(0.3) ? { lockDelayMs: random.integer(200, 1500) } : {}),
      ...(random.chance(0.15) ? { maxHoldMs: random.integer(50, 1500) } : {}),
      ...(asks ? { onRevocation: unlock } : {}),
    },
    asks,
    breaks: random.chance(0.2),
  }
}

/** What those do who want a lock that somebody has. */
export class Meddlers {
  readonly #terms: MutexTerms
  readonly #asked: Deed[] = []
  readonly #broken = new Set<Deed>()

  constructor(terms: MutexTerms) {
    this.#terms = terms
  }

  /** Asks the holder of some name, or takes the lock away from it, or leaves it alone. */
  async meddle(
    cast: { readonly process: SimulatedProcess; readonly stage: Stage },
    session: Session,
    { random, someName }: { readonly random: Random; someName(): string },
  ): Promise<void> {
    const { asks, breaks } = this.#terms
    const { world, recorder } = cast.stage
    const from = world.nowMs
    if (asks && random.chance(0.2)) {
      const mutex = session.mutex(someName())
      const holder = await inTime(cast, 3 * REQUEST_MS, 'request to unlock', () =>
        mutex.requestRevocation({ reason: 'simulated', ttl: REQUEST_TTL }),
      )
      if (holder !== undefined) this.#asked.push(deed(holder, from, world.nowMs))
    } else if (breaks && random.chance(0.2)) {
      const mutex = session.mutex(someName())
      const holder = await inTime(cast, REQUEST_MS, 'holder', () => mutex.holder())
      if (holder === undefined) return
      // Whoever crashes before the answer may have taken it all the same.
      const broken = deed(holder, from, Infinity)
      this.#broken.add(broken)
      recorder.suspect(broken.key)
      const token = holder.createRevision
      const wasThere = await inTime(cast, 2 * REQUEST_MS, 'break', () => mutex.breakLock({ token }))
      this.#broken.delete(broken)
      if (wasThere) this.#broken.add(deed(holder, from, world.nowMs))
    }
  }

  /** Locks that were taken away are the work of an operator, and nothing their holders did. */
  tell({ recorder, cluster }: Stage): void {
    for (const { key, token, from, until } of this.#broken) {
      const gone = deletionOf(cluster.log, key, token)
      if (gone === undefined || gone.at < from || gone.at > until) continue
      recorder.intervention({ at: gone.at, revision: gone.revision, kind: 'key-deleted', keys: [key] })
    }
  }

  /** What became of those that were asked, where nothing keeps the news from them. */
  deaf({ plan, cluster, recorder }: Stage, left: readonly bigint[]): readonly Violation[] {
    const { faults, hostile, ttl } = plan
    if (hostile || isSlow(plan)) return []
    // Whoever is first in the line may be asked before the delay after a loss is over, and holds only then.
    const heardMs = HEARD_MS + (this.#terms.options.lockDelayMs ?? 0)
    return checkRevocations(recorder.history(cluster.log), {
      revocations: this.#asked.map(({ key, token, until }) => ({ key, token, askedAt: until })),
      soonMs: byItsClock(plan, heardMs) + roundTripsMs(plan),
      heldUpMs: 2000 * ttl,
      isAnyoneStruck: faults.some(kind => kind.startsWith('process-')),
      left,
    })
  }
}

/** Whoever was told of a lock too soon after the one before him had lost it. */
export function tooSoon({ plan, cluster, recorder }: Stage, { options }: MutexTerms): readonly Violation[] {
  const { lockDelayMs } = options
  if (lockDelayMs === undefined || plan.hostile) return []
  return checkLossDelay(recorder.history(cluster.log), {
    prefix: 'locks/',
    shortestMs: lockDelayMs * (1 - 2 * plan.drift),
  })
}

function deed(
  { key, createRevision }: { readonly key: Uint8Array; readonly createRevision: bigint },
  from: number,
  until: number,
): Deed {
  return { key: mapKey(key), token: createRevision, from, until }
}

function unlock(_: unknown, hold: Hold): void {
  hold.unlock().catch(error => {
    if (!EtcdError.is(error)) throw error
  })
}
