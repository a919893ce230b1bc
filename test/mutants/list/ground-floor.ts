import { by, type Mutant } from '../mutant.ts'

/** The ground floor. */
export const groundFloor: readonly Mutant[] = [
  {
    name: 'backoff-without-bound',
    promise: 'no delay is longer than the bound of its backoff',
    file: 'src/support/backoff.ts',
    find: 'Math.min(this.#maxMs, boundMs * this.#factor)',
    replace: 'boundMs * this.#factor',
    tests: [by('client/lease-keeper')],
  },
  {
    name: 'backoff-without-jitter',
    promise: 'clients that failed together do not come back together',
    file: 'src/support/backoff.ts',
    find: 'return this.#runtime.random() * boundMs',
    replace: 'return boundMs',
    tests: [by('client/lease-keeper')],
  },
  {
    name: 'timer-overflow',
    promise: 'a timer beyond 2^31 ms does not fire after one',
    file: 'src/support/node-runtime.ts',
    find: 'Math.min(Math.ceil(remainingMs), LONGEST_TIMER_MS)',
    replace: 'Math.ceil(remainingMs)',
    tests: [by('client/timers')],
  },
  {
    name: 'timer-early',
    promise: 'a deadline has passed when its timer runs',
    file: 'src/support/node-runtime.ts',
    find: 'if (performance.now() >= atMs) action()',
    replace: 'if (performance.now() >= 0) action()',
    tests: [by('client/timers')],
  },
  {
    name: 'error-of-a-listener-lost',
    promise: 'the error of a listener that throws surfaces as an uncaught one',
    file: 'src/support/emitter.ts',
    find: 'throw error\n',
    replace: 'void error\n',
    tests: [by('client/listeners')],
  },
  {
    name: 'listener-that-throws-harms-the-engine',
    promise: 'a listener that throws cannot harm whoever emits, nor the listeners after it',
    file: 'src/support/emitter.ts',
    find: 'this.#runtime.defer(() => {\n          throw error\n        })',
    replace: 'throw error',
    tests: [by('client/listeners')],
  },
  {
    name: 'error-of-a-sink-lost',
    promise: 'the error of a watch sink that throws surfaces as an uncaught one',
    file: 'src/client/watch-hub.ts',
    find: 'this.#runtime.defer(() => {\n        throw error\n      })',
    replace: 'this.#runtime.defer(() => void error)',
    tests: [by('client/watch-hub')],
  },
  {
    name: 'error-of-a-lease-listener-lost',
    promise: 'the error of a lease listener that throws surfaces as an uncaught one',
    file: 'src/client/lease-keeper.ts',
    find: 'this.#care.runtime.defer(() => {\n        throw error\n      })',
    replace: 'this.#care.runtime.defer(() => void error)',
    tests: [by('client/lease-keeper')],
  },
  {
    name: 'closing-twice-at-once',
    promise: 'a client closed again by one who hears of its closing still revokes its leases first',
    file: 'src/client/client.ts',
    find: 'this.#closing = closed.promise\n      this.#close().then(closed.resolve, closed.reject)',
    replace: 'this.#close().then(closed.resolve, closed.reject)\n      this.#closing = closed.promise',
    tests: [
      by(
        'live/recipes/lead',
        'a client that is closed again by one who hears of its closing leaves no key all the same',
      ),
    ],
  },
]
