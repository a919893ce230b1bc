import { by, type Mutant } from '../mutant.ts'

/** What a session leaves behind. */
export const leaving: readonly Mutant[] = [
  {
    name: 'close-does-not-revoke',
    promise: 'when close resolves every key of the session is gone',
    file: 'src/session/session-core.ts',
    find: "if (lease === 'revoke') await this.#revoke()",
    replace: "if (lease === 'revoke' && errors.length > 99) await this.#revoke()",
    tests: [by('session/closing')],
    simulations: ['mutex'],
  },
  {
    name: 'orphan-revokes',
    promise: 'an orphaned lease stays for whoever resumes it',
    file: 'src/session/session-core.ts',
    find: "if (lease === 'revoke') await this.#revoke()",
    replace: 'await this.#revoke()',
    tests: [by('session/closing')],
  },
  {
    name: 'orphan-does-not-settle',
    promise: 'orphan resolves once every acquisition under way has been undone',
    file: 'src/session/session-core.ts',
    find: "lease === 'orphan' ? disposed.then(() => this.#settledOrLost()) : disposed",
    replace: "lease === 'orphan' && timeoutMs < 0 ? disposed.then(() => this.#settledOrLost()) : disposed",
    tests: [by('live/recipes/ghosts', 'orphan waits until an attempt under way is answered and undone')],
  },
  {
    name: 'close-does-not-wait-for-what-is-under-way',
    promise: 'nothing of a session goes on after its close resolved',
    file: 'src/session/session-core.ts',
    find: 'if (!isLate) await ended',
    replace: '',
    tests: [by('session/closing')],
  },
  {
    name: 'close-keeps-attached-resources-for-later',
    promise: 'what is attached is disposed of while the keys of the session still hold',
    file: 'src/session/session-core.ts',
    find: '(await within(this.engine.runtime, timeoutMs, settled))',
    replace: '(await within(this.engine.runtime, timeoutMs, Promise.resolve()))',
    tests: [by('session/closing')],
  },
  {
    name: 'close-waits-for-what-is-attached-for-ever',
    promise: 'whatever is attached, the lease is not renewed for longer than closing may take',
    file: 'src/session/session-core.ts',
    find: 'await within(this.engine.runtime, timeoutMs, settled)',
    replace: 'await within(this.engine.runtime, timeoutMs * 1000, settled)',
    tests: [
      by(
        'session/closing',
        'whatever is attached, the lease is not renewed for longer than closing may take',
      ),
    ],
  },
  {
    name: 'session-that-closes-itself-ends-twice',
    promise: 'what is attached may close the session itself: it ends once, when all is disposed of',
    file: 'src/session/session-core.ts',
    find: "    this.#phase = { kind: 'closing', done }\n    this.#leave(lease, timeoutMs, done).then(resolve, reject)\n",
    replace:
      "    this.#leave(lease, timeoutMs, done).then(resolve, reject)\n    this.#phase = { kind: 'closing', done }\n",
    tests: [
      by(
        'session/closing',
        'what is attached may close the session itself: it ends once, when all is disposed of',
      ),
    ],
  },
  {
    name: 'lost-session-leaves-its-lease',
    promise: 'a lost session has its lease revoked, so others need not wait for the server to find out',
    file: 'src/session/session-core.ts',
    find: 'this.background(this.#revoke().catch(() => {}))',
    replace: '',
    tests: [by('session/closing')],
  },
  {
    name: 'opening-cancelled-leaves-its-lease',
    promise: 'an opening that was cancelled leaves no lease',
    file: 'src/session/open-lease.ts',
    find: 'const isWanted = client.isOpen && signal?.aborted !== true',
    replace: 'const isWanted = kept.ttlMs > 0',
    tests: [by('session/opening', 'an opening that gives up when the answer is there leaves no lease')],
  },
  {
    name: 'session-begins-with-a-lease-that-is-over',
    promise: 'a lease that was granted too late to be believed in begins no session',
    file: 'src/session/open-lease.ts',
    find: "if (isWanted && state.kind !== 'lost') return kept",
    replace: 'if (isWanted && state !== undefined) return kept',
    tests: [
      by(
        'session/opening',
        'a lease that was granted too late to be believed in is revoked, and another one is granted',
      ),
    ],
  },
  {
    name: 'unanswered-grant-left-behind',
    promise: 'a lease that may have been granted to nobody is revoked',
    file: 'src/client/lease.ts',
    find: 'void this.revoke(id).catch(() => {})',
    replace: '',
    tests: [by('session/opening')],
  },
  {
    name: 'orphan-waits-for-what-is-late',
    promise: 'whoever leaves a lease is told after its time, whatever is still under way',
    file: 'src/session/session-core.ts',
    find: 'if (!isLate) await ended',
    replace: 'await ended',
    tests: [
      by('live/recipes/ghosts', 'orphan gives up undoing in its time, and leaves the lease all the same'),
    ],
    simulations: ['mutex'],
  },
  {
    name: 'release-waits-beyond-its-session',
    promise: 'whoever releases something is not kept waiting when its session is over',
    file: 'recipes/handle.ts',
    find: 'this.#session.engine.aborts.on(this.#session.signal, () => resolve())',
    replace: '() => {}',
    tests: [by('live/recipes/mutex', 'an unlock that is under way when the session is lost resolves then')],
    simulations: ['mutex', 'election'],
  },
  {
    name: 'leave-waits-beyond-its-session',
    promise: 'whoever leaves a double barrier hears of the loss of its session at once',
    file: 'recipes/double-barrier.ts',
    find: '[signal, this.#session.signal], this.#left',
    replace: '[signal], this.#left',
    tests: [
      by(
        'live/recipes/double-barrier',
        'whoever leaves hears of the loss of its session while its request is on its way',
      ),
    ],
    simulations: ['double-barrier'],
  },
  {
    name: 'permits-asked-for-beyond-the-session',
    promise: 'whoever asks how many permits there are hears of the end of its session',
    file: 'recipes/internal/semaphore/slot-claim.ts',
    find: '[signal, session.closing], limit.admit(count)',
    replace: '[signal], limit.admit(count)',
    tests: [
      by(
        'live/recipes/semaphore',
        'whoever asks for more than there are thought to be hears of the end of its session, and of its signal',
      ),
    ],
    simulations: ['semaphore'],
  },
  {
    name: 'mode-changes-behind-the-back-of-orphan',
    promise: 'a lease is left to others only when it is known what became of a change of mode',
    file: 'recipes/read-write-hold.ts',
    find: 'this.#session.background(changed',
    replace: "if (this.name === '') this.#session.background(changed",
    tests: [
      by(
        'live/recipes/rw-mutex',
        'a lease is left to others only when it is known what became of a change of mode',
      ),
    ],
    simulations: ['rw-mutex'],
  },
]
