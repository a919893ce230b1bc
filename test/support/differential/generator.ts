import { Random } from './random.ts'
import {
  bytes,
  type Caller,
  type CallMethod,
  type CallStep,
  type Plain,
  type PlainObject,
  type Script,
  type Since,
  type Step,
  since,
  type WatchStep,
} from './script.ts'

/** The script of a seed. Half of them lean to one side of the API, the others mix everything. */
export function scriptOf(seed: number): Script {
  return new Generator(new Random(seed)).script()
}

/** Keys that lie next to each other, contain each other, or end where ranges do. */
const KEYS = ['a', 'a', 'a/1', 'a/2', 'b', 'b\0', 'c', 'k', 'k\xff', '\xff', '\0']
const ENDS = ['\0', '\0', 'b', 'a0', 'b\0', 'l', '\xff', 'a', '\xff\xff']
const VALUES = ['', 'x', 'y', '9', '10', 'x\0', '\xff']
const LEASES = [1n, 2n, 3n, 7_000_000_000_000_000_001n]
/** No step but those around its end knows it. */
const BRIEF_LEASE = 4n
const UNKNOWN_LEASES = [99n, -1n]
const USERS = ['ann', 'bob', 'root']
const ROLES = ['reader', 'writer', 'root']
export const ROOT_PASSWORD = 'of root'
const PASSWORDS = ['one', 'two', '']

type Theme = 'keys' | 'transactions' | 'leases' | 'watches' | 'users' | 'alarms' | 'everything'
const THEMES: readonly Theme[] = [
  'keys',
  'transactions',
  'leases',
  'watches',
  'users',
  'alarms',
  'everything',
  'everything',
]

class Generator {
  readonly #random: Random
  readonly #theme: Theme
  #watches = 0

  constructor(random: Random) {
    this.#random = random
    this.#theme = random.pick(THEMES)
  }

  script(): Script {
    const random = this.#random
    const steps: Step[] = []
    if (this.#theme === 'users' || (this.#theme === 'everything' && random.chance(0.3)))
      steps.push(...this.#household())
    const wanted = steps.length + random.between(5, 40)
    const outliving = this.#theme === 'leases' && random.chance(0.2) ? random.between(0, 5) : undefined
    while (steps.length < wanted) {
      if (steps.length === outliving) steps.push(...this.#outlived())
      steps.push(this.#step())
    }
    return steps
  }

  #step(): Step {
    if (this.#theme === 'alarms') return this.#alarmStep()
    const often = (theme: Theme) => (this.#theme === theme ? 12 : this.#theme === 'everything' ? 4 : 0.4)
    return this.#random.weighted<Step>([
      [6, () => this.#call('put', this.#put())],
      [1, () => this.#call('deleteRange', this.#deleteRange())],
      [often('keys'), () => this.#keyStep()],
      [often('transactions'), () => this.#call('txn', this.#txn(0))],
      [often('leases'), () => this.#leaseStep()],
      [often('watches') * 0.6, () => this.#watchStep()],
      [often('users'), () => this.#userStep()],
      [0.5, () => this.#call('compact', this.#compaction())],
    ])
  }

  #keyStep(): Step {
    return this.#random.weighted<Step>([
      [6, () => this.#call('range', this.#range())],
      [2, () => this.#call('put', this.#put())],
      [2, () => this.#call('deleteRange', this.#deleteRange())],
      [1, () => this.#call('compact', this.#compaction())],
    ])
  }

  // keys

  #put(): PlainObject {
    const random = this.#random
    return {
      key: this.#key(),
      value: random.chance(0.85) ? bytes(random.pick(VALUES)) : undefined,
      lease: random.chance(0.25) ? this.#lease() : undefined,
      prevKv: this.#seldom(0.3),
      ignoreValue: this.#seldom(0.08),
      ignoreLease: this.#seldom(0.08),
    }
  }

  #range(): PlainObject {
    const random = this.#random
    return {
      ...this.#interval(),
      limit: random.chance(0.3) ? BigInt(random.between(-1, 4)) : undefined,
      revision: random.chance(0.35) ? this.#revision() : undefined,
      sortOrder: random.chance(0.3) ? random.between(0, 2) : undefined,
      // A target there is no name for ends the process of a real server.
      sortTarget: random.chance(0.3) ? random.between(0, 4) : undefined,
      serializable: this.#seldom(0.3),
      keysOnly: this.#seldom(0.2),
      countOnly: this.#seldom(0.15),
      minModRevision: random.chance(0.12) ? this.#revision() : undefined,
      maxModRevision: random.chance(0.12) ? this.#revision() : undefined,
      minCreateRevision: random.chance(0.12) ? this.#revision() : undefined,
      maxCreateRevision: random.chance(0.12) ? this.#revision() : undefined,
    }
  }

  #deleteRange(): PlainObject {
    return { ...this.#interval(), prevKv: this.#seldom(0.4) }
  }

  #compaction(): PlainObject {
    return { revision: this.#revision(), physical: this.#seldom(0.5) }
  }

  // transactions

  #txn(depth: number): PlainObject {
    const random = this.#random
    const most = random.chance(0.01) ? 129 : 3
    return {
      compare: random.several(0, 2, () => this.#compare()),
      success: random.several(0, most, () => this.#operation(depth)),
      failure: random.several(0, 2, () => this.#operation(depth)),
    }
  }

  #operation(depth: number): PlainObject {
    const request = this.#random.weighted<PlainObject>([
      [5, () => ({ kind: 'put', value: this.#put() })],
      [4, () => ({ kind: 'range', value: this.#range() })],
      [2, () => ({ kind: 'deleteRange', value: this.#deleteRange() })],
      [depth < 2 ? 1.5 : 0, () => ({ kind: 'txn', value: this.#txn(depth + 1) })],
    ])
    return this.#random.chance(0.01) ? {} : { request }
  }

  #compare(): PlainObject {
    const random = this.#random
    const [target, operand] = random.pick<readonly [number, () => PlainObject]>([
      [0, () => ({ kind: 'version', value: BigInt(random.between(0, 3)) })],
      [1, () => ({ kind: 'createRevision', value: random.chance(0.4) ? 0n : this.#revision() })],
      [2, () => ({ kind: 'modRevision', value: random.chance(0.4) ? 0n : this.#revision() })],
      [3, () => ({ kind: 'value', value: bytes(random.pick(VALUES)) })],
      [4, () => ({ kind: 'lease', value: random.chance(0.5) ? 0n : this.#lease() })],
    ])
    return {
      result: random.between(0, 3),
      target,
      key: this.#key(),
      operand: random.chance(0.97) ? operand() : undefined,
      rangeEnd: random.chance(0.3) ? bytes(random.pick(ENDS)) : undefined,
    }
  }

  // leases

  #leaseStep(): Step {
    const random = this.#random
    return random.weighted<Step>([
      [4, () => this.#call('leaseGrant', { id: this.#lease(), ttl: this.#ttl() })],
      [2, () => this.#call('leaseRevoke', { id: this.#lease() })],
      [2, () => this.#call('leaseTimeToLive', { id: this.#lease(), keys: this.#seldom(0.6) })],
      [1, () => this.#call('leaseLeases', {})],
      [1.5, () => ({ kind: 'keep-alive', lease: this.#lease(), caller: this.#caller() })],
      [2, () => this.#call('put', { ...this.#put(), lease: this.#lease() })],
      [2, () => this.#lockStep()],
    ])
  }

  /** A lease whose time runs out, with keys and with a key that leaves it in time. Costs seconds, hence seldom. */
  #outlived(): Step[] {
    const lease = BRIEF_LEASE
    const kept = this.#key()
    return [
      this.#admin('leaseGrant', { id: lease, ttl: BigInt(this.#random.between(-1, 2)) }),
      this.#admin('put', { ...this.#put(), lease, ignoreLease: undefined }),
      this.#admin('put', { ...this.#put(), lease, ignoreLease: undefined }),
      this.#admin('put', { key: kept, lease }),
      this.#admin('put', { key: kept }),
      this.#admin('leaseTimeToLive', { id: lease, keys: true }),
      { kind: 'outlive', lease },
      this.#admin('range', { key: bytes('\0'), rangeEnd: bytes('\0') }),
      this.#admin('leaseTimeToLive', { id: lease, keys: true }),
    ]
  }

  /** Locks and elections of the server. Every lease has a name of its own, so that nobody waits for another. */
  #lockStep(): Step {
    const random = this.#random
    const lease = this.#lease()
    const name = bytes(`l${lease}`)
    const key = bytes(random.chance(0.05) ? '' : `l${lease}/${BigInt.asUintN(64, lease).toString(16)}`)
    const leader = () =>
      random.chance(0.95) ? { name, key, revision: this.#revision(), lease: this.#lease() } : undefined
    const value = () => bytes(random.pick(VALUES))
    return random.weighted<Step>([
      [3, () => this.#call('lock', { name, lease })],
      [1, () => this.#call('unlock', { key })],
      [3, () => this.#call('campaign', { name, lease, value: value() })],
      [2, () => this.#call('proclaim', { leader: leader(), value: value() })],
      [1, () => this.#call('leader', { name })],
      [1, () => this.#call('resign', { leader: leader() })],
    ])
  }

  /** Long beside the time a script takes: no answer may depend on the clock. */
  #ttl(): bigint {
    return this.#random.weighted([
      [8, () => BigInt(this.#random.between(1000, 9000))],
      [1, () => 9_000_000_000n],
      [1, () => 9_000_000_001n],
    ])
  }

  // watches

  #watchStep(): Step {
    return this.#random.weighted<Step>([
      [4, () => this.#watch()],
      [
        this.#watches > 0 ? 1 : 0,
        () => ({ kind: 'cancel', watch: this.#random.between(0, this.#watches - 1) }),
      ],
      [this.#watches > 0 ? 1 : 0, () => ({ kind: 'progress' })],
      [3, () => this.#call('put', this.#put())],
      [2, () => this.#call('deleteRange', this.#deleteRange())],
      [3, () => this.#call('txn', this.#txn(0))],
    ])
  }

  #watch(): WatchStep {
    const random = this.#random
    return {
      kind: 'watch',
      watch: this.#watches++,
      request: {
        ...this.#interval(),
        startRevision: random.chance(0.6) ? this.#revision() : undefined,
        filters: random.chance(0.25) ? [random.between(0, 1)] : undefined,
        prevKv: this.#seldom(0.4),
        fragment: this.#seldom(0.2),
        watchId: random.chance(0.15) ? BigInt(random.between(0, 4)) : undefined,
      },
      caller: this.#caller(),
    }
  }

  // users

  /** Root, a user that reads and one that writes, signed in. */
  #household(): Step[] {
    const random = this.#random
    const reads = this.#permission(0)
    const writes = this.#permission(random.pick([1, 2]))
    const steps: Step[] = [
      this.#admin('userAdd', { name: 'root', password: ROOT_PASSWORD }),
      this.#admin('userGrantRole', { user: 'root', role: 'root' }),
      this.#admin('userAdd', { name: 'ann', password: 'one' }),
      this.#admin('userAdd', { name: 'bob', password: 'two' }),
      this.#admin('roleAdd', { name: 'reader' }),
      this.#admin('roleAdd', { name: 'writer' }),
      this.#admin('roleGrantPermission', { name: 'reader', permission: reads }),
      this.#admin('roleGrantPermission', { name: 'writer', permission: writes }),
      this.#admin('userGrantRole', { user: 'ann', role: 'reader' }),
      this.#admin('userGrantRole', { user: 'ann', role: random.pick(['writer', 'reader']) }),
      this.#admin('userGrantRole', { user: 'bob', role: 'writer' }),
      this.#admin('authEnable', {}),
      { kind: 'sign-in', user: 'root', password: ROOT_PASSWORD },
      { kind: 'sign-in', user: 'ann', password: 'one' },
      { kind: 'sign-in', user: 'bob', password: 'two' },
    ]
    return steps
  }

  #userStep(): Step {
    const random = this.#random
    const user = () => random.pick(USERS)
    const role = () => (random.chance(0.05) ? '' : random.pick(ROLES))
    return random.weighted<Step>([
      [1, () => this.#call('userAdd', this.#newUser())],
      [0.5, () => this.#call('userDelete', { name: user() })],
      [1, () => this.#call('userGet', { name: user() })],
      [1, () => this.#call('userList', {})],
      [
        0.7,
        () =>
          this.#call('userChangePassword', {
            name: random.pick(['ann', 'bob']),
            password: random.pick(PASSWORDS),
          }),
      ],
      [1, () => this.#call('userGrantRole', { user: user(), role: role() })],
      [1, () => this.#call('userRevokeRole', { name: user(), role: role() })],
      [1, () => this.#call('roleAdd', { name: role() })],
      [0.4, () => this.#call('roleDelete', { role: role() })],
      [1, () => this.#call('roleGet', { role: role() })],
      [1, () => this.#call('roleList', {})],
      [2, () => this.#call('roleGrantPermission', { name: role(), permission: this.#permission() })],
      [1, () => this.#call('roleRevokePermission', { role: role(), ...this.#interval() })],
      [0.5, () => this.#call('authEnable', {})],
      [0.3, () => this.#call('authDisable', {})],
      [0.7, () => this.#call('authStatus', {})],
      [3, () => this.#signIn()],
      [5, () => this.#call('range', this.#range())],
      [3, () => this.#call('deleteRange', this.#deleteRange())],
      [4, () => this.#call('txn', this.#txn(0))],
      [4, () => this.#leaseStep()],
    ])
  }

  #newUser(): PlainObject {
    const name = this.#random.chance(0.05) ? '' : this.#random.pick(USERS)
    if (name === 'root') return { name, password: ROOT_PASSWORD }
    const options = this.#random.chance(0.15) ? { noPassword: true } : undefined
    return { name, password: this.#random.pick(PASSWORDS), options }
  }

  #signIn(): Step {
    const user = this.#random.pick([...USERS, 'nobody'])
    const password =
      user === 'root' && this.#random.chance(0.8) ? ROOT_PASSWORD : this.#random.pick(PASSWORDS)
    return { kind: 'sign-in', user, password }
  }

  #permission(type = this.#random.between(0, 2)): PlainObject {
    return { type, ...this.#interval() }
  }

  // alarms

  /** Without watches and users: marks could not be set, and while an alarm is active nobody is asked for permissions. */
  #alarmStep(): Step {
    return this.#random.weighted<Step>([
      [2, () => this.#call('alarm', this.#alarm())],
      [0.5, () => this.#call('status', {})],
      [3, () => this.#call('put', this.#put())],
      [2, () => this.#keyStep()],
      [2, () => this.#call('txn', this.#txn(0))],
      [3, () => this.#leaseStep()],
    ])
  }

  /** An alarm there is no name for ends the process of a real server. */
  #alarm(): PlainObject {
    const random = this.#random
    return {
      action: random.between(0, 2),
      memberId: random.pick([5n, 5n, 6n, 0n]),
      alarm: random.between(0, 2),
    }
  }

  // what all of them are made of

  #call(method: CallMethod, request: Plain): CallStep {
    return { kind: 'call', method, request, caller: this.#caller() }
  }

  #admin(method: CallMethod, request: Plain): CallStep {
    return { kind: 'call', method, request, caller: 'nobody' }
  }

  /** Where nobody is signed in these are all the same. */
  #caller(): Caller {
    return this.#random.weighted<Caller>([
      [4, () => ({ user: 'root' })],
      [3, () => ({ user: 'ann' })],
      [3, () => ({ user: 'bob' })],
      [0.5, () => 'nobody'],
      [0.3, () => 'impostor'],
    ])
  }

  #interval(): PlainObject {
    return {
      key: this.#key(),
      rangeEnd: this.#random.chance(0.65) ? bytes(this.#random.pick(ENDS)) : undefined,
    }
  }

  #key(): Uint8Array {
    return bytes(this.#random.chance(0.02) ? '' : this.#random.pick(KEYS))
  }

  #lease(): bigint {
    return this.#random.pick(this.#random.chance(0.12) ? UNKNOWN_LEASES : LEASES)
  }

  /** Mostly one the script has written, sometimes compacted, in the future, or impossible. */
  #revision(): Since | bigint {
    return this.#random.weighted<Since | bigint>([
      [20, () => since(this.#random.between(0, 12))],
      [6, () => since(this.#random.between(10, 40))],
      [1, () => since(-1)],
      [0.5, () => -1n],
      [0.5, () => 0n],
    ])
  }

  #seldom(probability: number): boolean | undefined {
    return this.#random.chance(probability) ? true : undefined
  }
}
