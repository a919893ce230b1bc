import { by, type Mutant } from '../mutant.ts'

/** Tokens and connections. */
export const connections: readonly Mutant[] = [
  {
    name: 'token-fetched-by-everybody',
    promise: 'a token is fetched once for all who wait',
    file: 'src/client/tokens.ts',
    find: 'entry.fetching ??= this',
    replace: 'entry.fetching = this',
    tests: [by('client/tokens')],
  },
  {
    name: 'authenticates-for-ever',
    promise: 'a call fetches no more than two tokens',
    file: 'src/client/submitter.ts',
    find: 'this.#tokens.renewable && call.tokensLeft > 0',
    replace: 'this.#tokens.renewable',
    tests: [by('client/submitter')],
  },
  {
    name: 'fresh-token-thrown-away',
    promise: 'a refusal of old headers does not discard the token that came after them',
    file: 'src/client/tokens.ts',
    find: 'metadata !== entry.headers.withLeader &&',
    replace: 'metadata === entry.headers.withLeader &&',
    tests: [by('client/tokens')],
  },
  {
    name: 'leader-not-required',
    promise: 'a member without a leader answers at once instead of letting the call wait for one',
    file: 'src/client/tokens.ts',
    find: "const WITHOUT_TOKEN: HeaderSet = { withLeader: { hasleader: 'true' }, anyMember: {} }",
    replace: 'const WITHOUT_TOKEN: HeaderSet = { withLeader: { hasleader: undefined! }, anyMember: {} }',
    tests: [by('client/tokens'), by('client/submitter')],
  },
  {
    name: 'leader-not-required-with-a-token',
    promise: 'a leader is required by calls with a token, too',
    file: 'src/client/tokens.ts',
    find: "entry.headers = { withLeader: { hasleader: 'true', token }, anyMember: { token } }",
    replace: 'entry.headers = { withLeader: { token }, anyMember: { token } }',
    tests: [by('client/tokens'), by('client/submitter')],
  },
  {
    name: 'no-connect-watchdog',
    promise: 'an endpoint that accepts and keeps silent is left after three seconds',
    file: 'src/client/connection.ts',
    find: 'export const CONNECT_WATCHDOG_MS = 3000',
    replace: 'export const CONNECT_WATCHDOG_MS = 3_000_000',
    tests: [by('client/connections')],
  },
  {
    name: 'silent-connection-never-dead',
    promise: 'two calls in a row without an answer end the connection',
    file: 'src/client/connection.ts',
    find: 'const TIMEOUTS_UNTIL_DEAD = 2',
    replace: 'const TIMEOUTS_UNTIL_DEAD = 2_000',
    tests: [by('client/submitter')],
  },
  {
    name: 'reconnects-in-a-loop',
    promise: 'an endpoint that refuses is tried again later and later',
    file: 'src/client/connection.ts',
    find: 'worked ? 0 : RECONNECT.initialMs / 2 + this.#backoff.delay()',
    replace: 'worked ? 0 : 0 * this.#backoff.delay()',
    tests: [by('client/connections')],
  },
  {
    name: 'pings-as-often-after-the-reproach',
    promise: 'a server that finds our pings too frequent gets half as many',
    file: 'src/client/connection.ts',
    find: 'this.#linkPingIntervalMs * 2)',
    replace: 'this.#linkPingIntervalMs)',
    tests: [by('client/connections')],
  },
  {
    name: 'second-endpoint-not-asked',
    promise: 'an endpoint that keeps silent is joined by the next after 250 ms',
    file: 'src/client/connections.ts',
    find: "inOrder.find(({ kind }) => kind === 'idle')?.want()\n      this.#wake(lane)",
    replace: 'this.#wake(lane)',
    tests: [by('client/connections')],
  },
  {
    name: 'one-connection-for-everything',
    promise: 'bulk reads never delay a renewal: each lane has a connection of its own',
    file: 'src/client/connections.ts',
    find: "this.#lanes = { control: connect('control'), data: connect('data') }",
    replace:
      "this.#lanes = { control: connect('control'), data: [] }\n    this.#lanes = { ...this.#lanes, data: this.#lanes.control }",
    tests: [by('client/connections', 'each lane has a connection of its own')],
  },
  {
    name: 'token-refused-for-now-is-final',
    promise: 'a member that gives no token for reasons of its own is passed over',
    file: 'src/client/submitter.ts',
    find: 'if (isFinal(verdict)) throw',
    replace: "if (isFinal(verdict) || verdict.failure === 'rejected') throw",
    tests: [
      by(
        'client/submitter',
        'an endpoint that gives no token for reasons of its own is passed over, a busy one asked again',
      ),
    ],
  },
  {
    name: 'token-refused-for-now-ends-watches',
    promise: 'watches outlast a member that gives no token for now',
    file: 'src/client/stream-opener.ts',
    find: 'if (isFinal(verdict)) throw',
    replace: "if (isFinal(verdict) || verdict.failure === 'rejected') throw",
    tests: [
      by(
        'client/unreadable-answers',
        'watches outlast a token that nobody can read, or that is refused to one member for now',
      ),
    ],
  },
  {
    name: 'unreadable-token-ends-watches',
    promise: 'watches outlast a token that nobody can read',
    file: 'src/client/watch-hub.ts',
    find: "if (EtcdError.is(error, 'PROTOCOL')) this",
    replace: "if (EtcdError.is(error, 'TIMEOUT')) this",
    tests: [
      by(
        'client/unreadable-answers',
        'watches outlast a token that nobody can read, or that is refused to one member for now',
      ),
    ],
  },
  {
    name: 'unsent-for-want-of-a-token-in-doubt',
    promise: 'a call that got no token is known not to be sent',
    file: 'src/client/submitter.ts',
    find: "outcome: 'not-sent',\n    endpoint,",
    replace: "outcome: 'unknown',\n    endpoint,",
    tests: [
      by(
        'client/submitter',
        'a call whose token never comes, or that nobody can read, is known not to be sent',
      ),
    ],
  },
  {
    name: 'hurried-calls-end-the-connection',
    promise: 'calls that give up soon end no connection on which others wait',
    file: 'src/client/connection.ts',
    find: 'const SILENCE_UNTIL_DEAD_MS = 2000',
    replace: 'const SILENCE_UNTIL_DEAD_MS = 0',
    tests: [
      by(
        'client/submitter',
        'calls that give up soon end no connection on which others wait in patience, unless it is silent for long',
      ),
    ],
  },
  {
    name: 'pings-halved-by-every-call',
    promise: 'one reproach, heard by every call under way, makes pings half as frequent and not less',
    file: 'src/client/connection.ts',
    find: 'this.#linkPingIntervalMs * 2)',
    replace: 'this.#pingIntervalMs * 2)',
    tests: [by('client/connections')],
  },
]
