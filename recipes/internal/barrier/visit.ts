import type { SessionContext } from '../../../src/session/session-context.ts'
import { concat, hexOfLease, mapKey, toBytes } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { orAborted } from '../signals.ts'
import { type Answer, arrive, type Mine, type Seen } from './arrival.ts'
import type { Gathering, Passage } from './gathering.ts'
import { Lookout } from './lookout.ts'
import { barrierBroken, endOf, type Round, type Step } from './rounds.ts'
import { SpentKeys } from './spent.ts'
import { deleteOf, firstOfAll, NO_END, persist } from './wire.ts'

/** One who comes, through as many rounds as it takes. */
export class Visit {
  readonly #session: SessionContext
  readonly #gathering: Gathering
  readonly #leaving: AbortSignal
  readonly #lookout: Lookout
  readonly #spent: SpentKeys
  readonly #id: Uint8Array
  /** The one we came in, or tried to. */
  #generation = 0
  /** How far the barrier is, as we heard last. */
  #round: Round
  #mine: Mine | undefined
  /**
   * An attempt got no answer: it may have been applied, or may be as long as the round is the same. That another one
   * was answered changes nothing: once our key is deleted, the first would create it again.
   */
  #isInDoubt = false

  constructor(session: SessionContext, gathering: Gathering, leaving: AbortSignal) {
    this.#session = session
    this.#gathering = gathering
    this.#leaving = leaving
    this.#lookout = new Lookout(session, gathering.rounds, leaving)
    this.#round = gathering.rounds.latest
    this.#spent = session.engine.shared(SpentKeys)
    const unique = Buffer.from(session.engine.runtime.randomBytes(6)).toString('hex')
    this.#id = toBytes(`${hexOfLease(session.leaseId)}-${unique}`)
  }

  async run(): Promise<Passage> {
    const { rounds } = this.#gathering
    // It may have been long ago that it was not gathering.
    if (this.#round.phase !== 'gathering') await this.#look()
    for (;;) {
      if (this.#round.phase === 'broken') throw this.#broken('it is broken, and nobody has reset it')
      if (this.#round.phase === 'open') {
        await this.#whileOpen()
        continue
      }
      const { generation } = this.#round
      this.#generation = generation
      const answer = await this.#arrive()
      const passed = await this.#take(answer)
      if (passed === undefined) continue
      if (this.#gathering.onComplete === 'passed') this.#spent.add(this.#session, rounds.state, [passed.key])
      return { ...passed, generation }
    }
  }

  async #arrive(): Promise<Answer> {
    const { rounds, onLoss, parties } = this.#gathering
    const spent = this.#spent.take(this.#session, rounds.state)
    let answer: Answer | undefined
    try {
      answer = await arrive(this.#session, {
        rounds,
        round: this.#round,
        key: this.#key,
        spent,
        room: onLoss === 'break' ? parties : undefined,
        signal: this.#leaving,
        onUnanswered: () => {
          this.#isInDoubt = true
        },
      })
      return answer
    } finally {
      if (answer?.kind !== 'in') this.#spent.add(this.#session, rounds.state, spent)
    }
  }

  /** Whatever could still count us goes. Resolves when that is known, or the session is over. */
  async undo(): Promise<void> {
    if (this.#mine === undefined && !this.#isInDoubt) return
    const { rounds, onLoss } = this.#gathering
    const named = this.#round
    const undoing = async () => {
      if (onLoss === 'break') {
        while (this.#ended() === 'pending') this.#round = await rounds.advance(this.#round, this.#breaking)
      } else if (this.#isInDoubt && this.#ended() === 'pending') {
        // Whether it is we who do it or somebody has before us: the round we named is not there any more.
        this.#round = await rounds.advance(named, 'same')
      }
      if (this.#ended() !== 'broken') await this.#remove()
    }
    // The cluster refuses, or the session is over: then our key goes with the lease.
    await persist(this.#session.engine, this.#session.signal, undoing).catch(() => {})
  }

  /** Our place, if all of the round have come; undefined if we have to come again in another. */
  async #take(answer: Answer): Promise<Mine | undefined> {
    switch (answer.kind) {
      case 'in':
        return this.#stay(answer)
      case 'full':
        this.#round = answer.round
        this.#isInDoubt = false
        return this.#tooLate(answer.seen)
      case 'moved':
        // No attempt has counted us, unless in a round that was broken: our key would be there.
        this.#round = answer.round
        this.#isInDoubt = false
        return undefined
    }
  }

  async #stay({ round, seen, mine }: Answer & { readonly kind: 'in' }): Promise<Mine | undefined> {
    const { parties, action } = this.#gathering
    this.#round = round
    this.#mine = mine
    if (this.#ended() !== 'pending') {
      // Found only now: those before us may be on their way again, and their keys gone.
      this.#mine = await this.#asOfThen(mine)
    } else {
      if (this.#someoneWasLost(seen)) {
        if (!(await this.#afterLoss(seen.present))) return undefined
      } else if (seen.present.length < parties || (action !== undefined && mine.index !== parties - 1)) {
        await this.#wait(seen)
      } else {
        await this.#complete()
      }
    }
    switch (this.#ended()) {
      case 'passed':
        if (this.#mine.index >= parties) throw this.#tooMany()
        // Who takes a place that was made free counts instead of whoever had it.
        if (this.#gathering.onLoss === 'wait' && !(await this.#isPresent())) throw this.#deleted()
        return this.#mine
      case 'broken':
        throw this.#broken('somebody of the round was lost, gave up or reset it')
      default:
        throw this.#unknown()
    }
  }

  /**
   * Somebody was lost before we came, so nobody passes in this round any more. Those who were waiting then break it;
   * they came before us and before all others who found it so. If none of them is left the first of us begins the
   * next round. Tells whether we passed after all.
   */
  async #afterLoss(present: readonly KeyValue[]): Promise<boolean> {
    const [first] = present
    const isFirst = first === undefined || mapKey(first.key) === mapKey(this.#key)
    if (this.#gathering.onBreak === 'renew' || isFirst) {
      await this.#finish('void')
    } else {
      await this.#change(present.length)
      if (this.#ended() === 'pending') return this.#afterLoss(await this.#look())
    }
    if (this.#ended() === 'passed') return true
    this.#mine = undefined
    this.#isInDoubt = false
    return false
  }

  /** Everybody who may pass in this round has come, and we have not. */
  async #tooLate(seen: Seen): Promise<undefined> {
    const { onFull, onBreak } = this.#gathering
    if (this.#someoneWasLost(seen)) {
      if (onBreak === 'renew' || seen.present.length === 0) return this.#finish('void')
    } else if (onFull === 'refuse') throw this.#tooMany()
    await this.#change(seen.present.length)
  }

  /** Until the round is changed, or one of so many who are there is gone. */
  async #change(present: number): Promise<void> {
    const lookout = this.#lookout
    const generation = this.#generation
    const { modRevision } = this.#round
    const change = await firstOfAll<Round | 'lost'>([
      signal => lookout.round(now => now.modRevision !== modRevision, signal),
      signal => lookout.departure(generation, { present, isWhole: false }, signal),
    ])
    if (change !== 'lost') this.#round = change
  }

  /** The last to come has all pass. */
  async #complete(): Promise<void> {
    const { action, onComplete } = this.#gathering
    if (action !== undefined) await this.#run(action)
    await this.#finish(onComplete)
  }

  /** Not after the event loop stood still past the end of our session: the others may have broken the round by then. */
  async #run(action: () => unknown): Promise<void> {
    const { engine } = this.#session
    await orAborted(engine, [this.#leaving], this.#session.reliable())
    await orAborted(engine, [this.#leaving], Promise.resolve().then(action))
  }

  /** Until somebody else has ended the round, or somebody who has come is lost. */
  async #wait(seen: Seen): Promise<void> {
    const { onLoss } = this.#gathering
    const lookout = this.#lookout
    const generation = this.#generation
    const change = await firstOfAll<Round | 'lost'>([
      signal => lookout.round(now => endOf(generation, now) !== 'pending', signal),
      signal =>
        onLoss === 'break'
          ? lookout.departure(generation, { present: seen.present.length, isWhole: true }, signal)
          : lookout.loss(this.#key, signal),
    ])
    if (change !== 'lost') this.#round = change
    else if (onLoss === 'break') await this.#finish(this.#breaking)
    else {
      await this.#look()
      if (this.#ended() === 'pending') throw this.#deleted()
    }
  }

  /** The barrier is open for others. If all of them are gone without having left, it is closed behind them. */
  async #whileOpen(): Promise<void> {
    const { rounds } = this.#gathering
    const open = this.#round
    const present = await this.#look(open.generation)
    if (this.#round.modRevision !== open.modRevision) return
    if (present.length > 0) throw this.#tooMany()
    this.#round = await this.#persist(() => rounds.advance(open, 'passed'))
  }

  /**
   * Changes the round we came in until it has ended, in this way or in that of somebody who was faster. The next one,
   * if it has begun already, is none of our business.
   */
  async #finish(step: Step): Promise<undefined> {
    const { rounds } = this.#gathering
    await this.#persist(async () => {
      while (this.#ended() === 'pending') {
        this.#leaving.throwIfAborted()
        this.#round = await rounds.advance(this.#round, step)
      }
    })
  }

  /** Is our key still there? One round trip. */
  async #isPresent(): Promise<boolean> {
    const own = mapKey(this.#key)
    const present = await this.#look(this.#generation)
    return present.some(({ key }) => mapKey(key) === own)
  }

  /** With the index it had when it came, unless the cluster has forgotten that. One round trip. */
  async #asOfThen(mine: Mine): Promise<Mine> {
    try {
      const { rounds } = this.#gathering
      const index = await this.#persist(() => rounds.indexOf(mine, this.#generation, this.#leaving))
      return { ...mine, index }
    } catch (error) {
      if (!EtcdError.is(error, 'COMPACTED')) throw error
      // Where there may be one too many, it may be us.
      if (this.#gathering.onLoss === 'wait') throw this.#unknown()
      return mine
    }
  }

  /** Who is there in the round, and how far the barrier is. One round trip. */
  async #look(generation: number = this.#round.generation): Promise<readonly KeyValue[]> {
    const { round, present } = await this.#persist(() =>
      this.#gathering.rounds.look(generation, { signal: this.#leaving }),
    )
    this.#round = round
    return present
  }

  /** Our key, wherever it comes from: no other call uses its name. One round trip. */
  async #remove(): Promise<void> {
    const key = this.#key
    await this.#session.engine.submitter.submit({
      method: methods.txn,
      request: { success: [deleteOf(key)] },
      footprint: { reads: [], writes: [{ key, end: NO_END }] },
      repeat: 'idempotent',
    })
  }

  #persist<Result>(work: () => Promise<Result>): Promise<Result> {
    return persist(this.#session.engine, this.#leaving, work)
  }

  #someoneWasLost({ present, arrivals }: Seen): boolean {
    return this.#gathering.onLoss === 'break' && present.length < arrivals
  }

  /** What became of the round we came in. */
  #ended(): ReturnType<typeof endOf> {
    return endOf(this.#generation, this.#round)
  }

  get #key(): Uint8Array {
    return concat(this.#gathering.rounds.members(this.#generation), this.#id)
  }

  get #breaking(): Step {
    return this.#gathering.onBreak === 'stay' ? 'broken' : 'void'
  }

  #broken(why: string): EtcdError {
    return barrierBroken(this.#gathering.name, why)
  }

  #deleted(): EtcdError {
    this.#session.doubt()
    return this.#broken('our place in it was deleted by somebody else')
  }

  #unknown(): EtcdError {
    return barrierBroken(
      this.#gathering.name,
      'the round ended, but how could not be learnt: its keys were deleted, or it is long ago',
      'unknown',
    )
  }

  #tooMany(): EtcdError {
    const { name, parties } = this.#gathering
    return new EtcdError(
      'TOO_MANY_PARTICIPANTS',
      `[TOO_MANY_PARTICIPANTS] the barrier ${name} is for ${parties}, and so many are there already`,
      { outcome: 'rejected' },
    )
  }
}
