import { Mutex as Turns } from 'async-mutex'
import { Compare, valueAbove } from '../src/client/compare.ts'
import { checkCall } from '../src/client/kv.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { within } from '../src/support/bounded.ts'
import { text } from '../src/wire/bytes.ts'
import { EtcdError } from '../src/wire/errors.ts'
import { Handle, type ReleaseOptions } from './handle.ts'
import { timeOf } from './internal/call-time.ts'
import type { Claim } from './internal/line/claim.ts'
import { type ModeChange, ModeOfPlace } from './internal/read-write/mode-change.ts'
import { BEHIND_READERS, type Mode } from './internal/read-write/read-write.ts'
import { orAborted } from './internal/signals.ts'

/**
 * A read or write lock that is ours. Its key and its token stay the same when the mode changes, and so does its
 * place in the line: nobody can slip in between.
 */
export class ReadWriteHold extends Handle {
  readonly #session: SessionContext
  readonly #changes = new Turns()
  readonly #place: ModeOfPlace
  #mode: Mode
  #guard: Compare | undefined

  constructor(session: SessionContext, name: Uint8Array, claim: Claim, mode: Mode) {
    super(session, text(name), claim, 'unlocked')
    this.#session = session
    this.#place = new ModeOfPlace(session, claim)
    this.#mode = mode
  }

  get mode(): 'read' | 'write' {
    return this.#mode
  }

  /** A compare for your own transaction: holds exactly while we hold the lock, and while writing, hold it for writing. */
  override guard(): Compare {
    this.#guard ??=
      this.#mode === 'read'
        ? super.guard()
        : Compare.all([super.guard(), valueAbove(this.key, BEHIND_READERS)])
    return this.#guard
  }

  /**
   * From writing to reading, in place: readers behind us go on, writers wait for us as before. Counts as reading
   * from the call on, whatever becomes of the request. Quiet when reading already. Rejects with LOCK_LOST if the
   * lock was lost. Cancelling stops waiting; the change may still be made. One round trip.
   */
  async downgrade(options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'downgrade')
    this.assertMayWrite()
    this.#turnTo('read')
    await this.#inTurn(options, async time => {
      // An upgrade that was under way may have turned it back.
      this.#turnTo('read')
      this.#keptOrThrow(await this.#place.change('read', time))
    })
  }

  /**
   * From reading to writing, if nobody else reads or waits to read at that very revision; then resolves with true.
   * With false, and nothing has changed, otherwise: it never waits, so two that try cannot wait for each other.
   * Writers in line stay behind us. Rejects with LOCK_LOST if the lock was lost; when the outcome is unknown, we
   * count as reading, and others may find us writing until `downgrade` or `unlock`. One round trip.
   */
  async tryUpgrade(options: CallOptions = {}): Promise<boolean> {
    options = checkCall(options, [], 'tryUpgrade')
    return this.#inTurn(options, async time => {
      this.assertMayWrite()
      if (this.#mode === 'write') return true
      const outcome = await this.#place.change('write', time)
      this.#keptOrThrow(outcome)
      // Whoever has left was told that we read.
      options.signal?.throwIfAborted()
      // It may have been lost while the answer was on its way.
      this.assertHeld()
      if (outcome === 'changed') this.#turnTo('write')
      return outcome === 'changed'
    })
  }

  /** As {@link Hold.unlock}, for either mode. */
  unlock(options: ReleaseOptions = {}): Promise<void> {
    return this.giveUp(options, 'unlock')
  }

  /** A transaction that began before the mode changed fails by its guard without the lock being lost. */
  protected override guardFailed(guard: Compare, error: EtcdError): void {
    if (guard === this.#guard) super.guardFailed(guard, error)
  }

  /**
   * One change after the other. Whoever gives up hears of it at once, wherever its change is. Whoever leaves the lease
   * to others waits for it: they have to know what to ask for.
   */
  #inTurn<Result>(
    options: CallOptions,
    change: (time: () => CallOptions) => Promise<Result>,
  ): Promise<Result> {
    const { engine } = this.#session
    const { signal, timeoutMs } = options
    const time = timeOf(engine, options)
    let tooLate: EtcdError | undefined
    const turn = this.#changes.acquire()
    const changed = turn.then(release =>
      change(() => {
        if (tooLate !== undefined) throw tooLate
        return time()
      }).finally(release),
    )
    const settled = () => {}
    this.#session.background(changed.then(settled, settled))
    const inTime = async (ms: number) => {
      if ((await within(engine.runtime, ms, turn)) === 'done') return changed
      tooLate = this.#notChanged(ms)
      throw tooLate
    }
    return orAborted(engine, [signal], timeoutMs === undefined ? changed : inTime(timeoutMs))
  }

  #notChanged(timeoutMs: number): EtcdError {
    return new EtcdError(
      'TIMEOUT',
      `[TIMEOUT] the mode of ${this.name} was not changed within ${timeoutMs} ms: another change is under way`,
      { outcome: 'not-sent' },
    )
  }

  #keptOrThrow(outcome: ModeChange): void {
    if (outcome !== 'lost') return
    // Given up meanwhile, it was not lost.
    this.assertHeld()
    throw this.lose()
  }

  #turnTo(mode: Mode): void {
    if (mode === this.#mode) return
    this.#mode = mode
    this.#guard = undefined
  }
}
