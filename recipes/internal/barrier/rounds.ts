import { modifiedAtWire } from '../../../src/client/compare.ts'
import type { Engine } from '../../../src/client/engine.ts'
import type { KeySpace } from '../../../src/client/key-space.ts'
import { part, revisionOf } from '../../../src/client/response-part.ts'
import type { CallOptions } from '../../../src/client/submitter.ts'
import { concat, mapKey, prefixEnd, toBytes } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { deleteOf, encoded, fieldsOf, listOf, putOf, readOf } from './wire.ts'

/** How many rounds back it is known how each ended. */
const PAST = 128

/** How far a barrier is: what its state key says. */
export interface Round {
  readonly generation: number
  /**
   *              all have come                 all have left
   * gathering ───────────────────▶ open ───────────────────────▶ gathering, in the next generation
   *    │ └── all have come, and there is nothing to leave ─────────▶
   *    │ └── somebody was lost, and whoever comes later is welcome ▶
   *    └──── somebody was lost ──▶ broken ─────── reset ──────────▶
   */
  readonly phase: 'gathering' | 'open' | 'broken'
  /** How the rounds before it ended, the latest last: `p`assed or `b`roken. */
  readonly past: string
  /** Of the key; 0 while there is none. Whoever compares it takes part in this very round, or not at all. */
  readonly modRevision: bigint
}

const FIRST: Round = { generation: 0, phase: 'gathering', past: '', modRevision: 0n }

/**
 * - `open`: all have come, and stay in this round until they have left
 * - `passed`: all have come, or all have left: the next round begins
 * - `broken`: nobody passes any more, and it stays so
 * - `void`: nobody of this round passes; the next one begins
 * - `same`: nothing changes, but whoever names the revision from before comes too late
 */
export type Step = 'open' | 'passed' | 'broken' | 'void' | 'same'

/** What became of the round `generation`, going by how far the barrier is. */
export function endOf(generation: number, now: Round): 'pending' | 'passed' | 'broken' | 'unknown' {
  if (generation === now.generation) {
    if (now.phase === 'gathering') return 'pending'
    return now.phase === 'open' ? 'passed' : 'broken'
  }
  const ended = generation < now.generation ? now.past.at(generation - now.generation) : undefined
  // Too long ago, or somebody deleted the key that tells.
  if (ended === undefined) return 'unknown'
  return ended === 'p' ? 'passed' : 'broken'
}

/** The rounds of one barrier: its keys, and the one door through which it gets from round to round. */
export class Rounds {
  readonly state: Uint8Array
  readonly #engine: Engine
  readonly #prefix: Uint8Array
  readonly #of: string
  #latest = FIRST

  /** `of` is what messages call it. */
  constructor(engine: Engine, space: KeySpace, name: Uint8Array, of: string) {
    this.#engine = engine
    this.#prefix = space.key(concat(name, toBytes('/')))
    this.state = concat(this.#prefix, toBytes('state'))
    this.#of = of
  }

  /** As far as was heard last, possibly long ago. */
  get latest(): Round {
    return this.#latest
  }

  /** Below it is everything of one round. */
  below(generation: number): Uint8Array {
    return concat(this.#prefix, toBytes(`${generation}/`))
  }

  /** Below it stand those who have come. */
  members(generation: number): Uint8Array {
    return concat(this.below(generation), toBytes('m/'))
  }

  /** Written by everybody who comes: its version is how many have, whatever became of them. */
  arrivals(generation: number): Uint8Array {
    return concat(this.below(generation), toBytes('n'))
  }

  roundOf(kv: KeyValue | undefined): Round {
    if (kv === undefined) {
      this.#latest = FIRST
    } else {
      const { generation, phase, past } = fieldsOf(kv, this.#of, {
        generation: 'number',
        phase: 'string',
        past: 'string',
      })
      // What `fieldsOf` lets pass was written by `advance`.
      this.#latest = { generation, phase, past, modRevision: kv.modRevision } as Round
    }
    return this.#latest
  }

  /** From what a view of the state key shows. */
  roundIn(kvs: ReadonlyMap<string, KeyValue>): Round {
    return this.roundOf(kvs.get(mapKey(this.state)))
  }

  /** How far it is, and who is there in the round `generation`, at one revision. One round trip. */
  async look(
    generation: number,
    { signal, timeoutMs }: CallOptions,
  ): Promise<{ readonly round: Round; readonly present: readonly KeyValue[] }> {
    const { responses } = await this.#engine.submitter.submit({
      method: methods.txn,
      request: { success: [readOf(this.state), listOf(this.members(generation))] },
      footprint: { reads: [this.#span], writes: [] },
      repeat: 'read',
      consistency: 'linearizable',
      // A watch may have told more than the member that answers knows.
      atLeast: this.#latest.modRevision,
      signal,
      timeoutMs,
    })
    const [state, members] = responses.map(answer => part(answer, 'range').kvs)
    return { round: this.roundOf(state?.[0]), present: (members ?? []).filter(isThere) }
  }

  /** How many had come before the owner of this key when it came. Rejects with COMPACTED where that is forgotten. One round trip. */
  async indexOf(
    { key, createRevision }: { readonly key: Uint8Array; readonly createRevision: bigint },
    generation: number,
    signal: AbortSignal,
  ): Promise<number> {
    const members = this.members(generation)
    const { kvs } = await this.#engine.submitter.submit({
      method: methods.range,
      request: {
        key: members,
        rangeEnd: prefixEnd(members),
        revision: createRevision,
        keysOnly: true,
      },
      footprint: 'alone',
      signal,
    })
    return kvs.filter(kv => mapKey(kv.key) !== mapKey(key)).length
  }

  /**
   * Changes the round, unless somebody else has done so since `from` was read. Resolves with the round there is
   * then. When nobody of this round passes, or all have left it, its keys go. Otherwise they stay: a key in a round
   * that was passed is the proof that its owner was counted. One round trip.
   */
  async advance(from: Round, step: Step): Promise<Round> {
    const next = nextRound(from, step)
    const { generation } = from
    const members = this.members(generation)
    const isOver = step === 'broken' || step === 'void' || from.phase !== 'gathering'
    const { header, succeeded, responses } = await this.#engine.submitter.submit({
      method: methods.txn,
      request: {
        compare: [modifiedAtWire(this.state, from.modRevision)],
        success: [
          putOf(this.state, encoded(next)),
          // No more than what a round has: somebody may have a lock whose name begins like this.
          ...(isOver ? [deleteOf(members, prefixEnd(members)), deleteOf(this.arrivals(generation))] : []),
          ...(generation > 0 ? [deleteOf(this.arrivals(generation - 1))] : []),
        ],
        failure: [readOf(this.state)],
      },
      footprint: { reads: [this.#span], writes: [this.#span] },
      // Guarded by the revision of the key it writes: made twice, it finds what it did.
      repeat: 'idempotent',
    })
    if (!succeeded) return this.roundOf(part(responses[0], 'range').kvs[0])
    this.#latest = { ...next, modRevision: revisionOf(header) }
    return this.#latest
  }

  get #span(): { readonly key: Uint8Array; readonly end: Uint8Array } {
    return { key: this.#prefix, end: prefixEnd(this.#prefix) }
  }
}

/** Is somebody behind this key? One that was taken off its lease would outlive its owner. */
export function isThere(kv: KeyValue | undefined): boolean {
  return kv !== undefined && kv.lease !== 0n
}

/** Nobody of this round passes. */
export function barrierBroken(
  name: string,
  why: string,
  outcome: 'rejected' | 'unknown' = 'rejected',
): EtcdError {
  return new EtcdError('BARRIER_BROKEN', `[BARRIER_BROKEN] the barrier ${name}: ${why}`, { outcome })
}

function nextRound({ generation, phase, past }: Round, step: Step): Omit<Round, 'modRevision'> {
  switch (step) {
    case 'open':
    case 'broken':
      return { generation, phase: step, past }
    case 'same':
      return { generation, phase, past }
    case 'passed':
    case 'void': {
      const ended = step === 'passed' ? 'p' : 'b'
      return { generation: generation + 1, phase: 'gathering', past: (past + ended).slice(-PAST) }
    }
  }
}
