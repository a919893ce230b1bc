import type {
  Acquisition,
  Change,
  Commit,
  Found,
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
} from './history.ts'

/** Numbers in [0, 1), the same for the same seed. */
export type Random = () => number

export function seeded(seed: number): Random {
  let state = Math.imul(seed + 1, 0x9e3779b1)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export interface GoodHistoryOptions {
  readonly processes?: number
  /** Every process takes places until all together have asked so often. */
  readonly acquisitions?: number
  readonly lines?: number
  /** How often something goes wrong, from 0 to 1. */
  readonly trouble?: number
  readonly watches?: number
}

/** How late a process of these histories hears that its place was taken. */
export const NOTICE_MS = 40

/** A history as the library and a sound server would write it: everything may go wrong in it but the promises. */
export function goodHistory(seed: number, options: GoodHistoryOptions = {}): History {
  return new World(seeded(seed), options).run()
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

interface Stored {
  readonly value: string
  readonly createRevision: bigint
  readonly version: bigint
  readonly lease: bigint
}

interface Process {
  readonly name: string
  lease: bigint
  alive: boolean
  stalledUntil: number
  /** At most one misfortune at a time. */
  afflicted: boolean
  /** What to do when the session is lost, and when the process dies. */
  readonly wards: Set<Ward>
}

interface Ward {
  lost(): void
  died(): void
}

interface Waiting {
  readonly key: string
  readonly token: bigint
  notified: boolean
  turn(): void
}

const TTL_MS = 400
const LATENCY_MS = 12

/** Places, leases and keys, and the processes that use them, on one clock. */
class World {
  readonly #random: Random
  readonly #options: Required<GoodHistoryOptions>
  readonly #agenda: { readonly at: number; readonly action: () => void }[] = []
  readonly #store = new Map<string, Stored>()
  readonly #dead = new Set<bigint>()
  readonly #waiting = new Map<string, Waiting[]>()
  readonly #log: Commit[] = []
  readonly #acquisitions: Mutable<Acquisition>[] = []
  readonly #releases: Mutable<Release>[] = []
  readonly #guardedWrites: Mutable<GuardedWrite>[] = []
  readonly #writes: Mutable<Write>[] = []
  readonly #reads: Mutable<Read>[] = []
  readonly #stalls: Stall[] = []
  readonly #interventions: Intervention[] = []
  #now = 0
  #count = 0
  #leases = 0x7000n

  constructor(random: Random, options: GoodHistoryOptions) {
    this.#random = random
    this.#options = { processes: 4, acquisitions: 24, lines: 2, trouble: 0.3, watches: 3, ...options }
  }

  run(): History {
    for (let each = 0; each < this.#options.processes; each += 1) this.#start(`p${each}`)
    for (;;) {
      const next = this.#agenda.shift()
      if (next === undefined) break
      this.#now = next.at
      next.action()
    }
    return {
      log: this.#log,
      acquisitions: this.#acquisitions,
      releases: this.#releases,
      guardedWrites: this.#guardedWrites,
      watches: Array.from({ length: this.#options.watches }, (_, each) => this.#watch(each)),
      writes: this.#writes,
      reads: this.#reads,
      stalls: this.#stalls,
      interventions: this.#interventions,
    }
  }

  #after(ms: number, action: () => void): void {
    const at = this.#now + ms
    let position = this.#agenda.length
    while (position > 0 && this.#agenda[position - 1]!.at > at) position -= 1
    this.#agenda.splice(position, 0, { at, action })
  }

  /** Something the process does itself: never once it is dead, and not while it stands still. */
  #by(process: Process, ms: number, action: () => void): void {
    this.#after(ms, () => {
      if (!process.alive) return
      if (this.#now < process.stalledUntil) this.#by(process, process.stalledUntil - this.#now, action)
      else action()
    })
  }

  #latency(): number {
    return 1 + this.#random() * LATENCY_MS
  }

  #happens(chance: number): boolean {
    return this.#random() < chance
  }

  #id(kind: string): string {
    this.#count += 1
    return `${kind}${this.#count}`
  }

  #start(name: string): void {
    const process: Process = {
      name,
      lease: 0n,
      alive: true,
      stalledUntil: 0,
      afflicted: false,
      wards: new Set(),
    }
    this.#newSession(process)
    this.#by(process, this.#random() * 20, () => this.#acquire(process))
    this.#by(process, this.#random() * 20, () => this.#useKeys(process))
    this.#by(process, this.#random() * 300, () => this.#suffer(process))
  }

  #newSession(process: Process): void {
    this.#leases += 1n
    process.lease = this.#leases
    this.#put(`sessions/${process.lease.toString(16)}`, process.name, process.lease)
  }

  get #isOver(): boolean {
    return this.#acquisitions.length >= this.#options.acquisitions
  }

  // The store.

  #commit(changes: readonly Change[]): bigint {
    const revision = BigInt(this.#log.length + 2)
    this.#log.push({ revision, at: this.#now, changes })
    return revision
  }

  get #revision(): bigint {
    return BigInt(this.#log.length + 1)
  }

  #put(key: string, value: string, lease: bigint): bigint {
    const before = this.#store.get(key)
    const createRevision = before?.createRevision ?? this.#revision + 1n
    const version = (before?.version ?? 0n) + 1n
    this.#store.set(key, { value, createRevision, version, lease })
    return this.#commit([{ kind: 'put', key, value, createRevision, version, lease }])
  }

  #delete(keys: readonly string[]): bigint {
    const there = keys.filter(key => this.#store.delete(key))
    if (there.length === 0) return this.#revision
    const revision = this.#commit(there.map(key => ({ kind: 'delete', key })))
    for (const [line, waiting] of this.#waiting) {
      this.#waiting.set(
        line,
        waiting.filter(({ key }) => !there.includes(key)),
      )
      this.#notify(line)
    }
    return revision
  }

  /** Only the very place it was meant for. */
  #deletePlace(key: string, token: bigint): void {
    if (this.#store.get(key)?.createRevision === token) this.#delete([key])
  }

  #endLease(lease: bigint): readonly string[] {
    if (this.#dead.has(lease)) return []
    this.#dead.add(lease)
    const keys = [...this.#store].filter(([, stored]) => stored.lease === lease).map(([key]) => key)
    this.#delete(keys)
    return keys
  }

  #notify(line: string): void {
    const first = this.#waiting.get(line)?.[0]
    if (first === undefined || first.notified) return
    first.notified = true
    first.turn()
  }

  // Places.

  #acquire(process: Process): void {
    if (this.#isOver) return
    const line = `locks/${Math.floor(this.#random() * this.#options.lines)}/`
    const { lease } = process
    const key = `${line}${lease.toString(16)}`
    const record: Mutable<Acquisition> = {
      id: this.#id('a'),
      process: process.name,
      line,
      outcome: 'unknown',
      invokedAt: this.#now,
      settledAt: Infinity,
    }
    this.#acquisitions.push(record)
    let state: 'asking' | 'held' | 'over' = 'asking'
    let token: bigint | undefined
    const ward: Ward = {
      lost: () => {
        if (state === 'held') this.#endBelief(record, 'SESSION_LOST')
        if (state === 'asking') this.#settle(record, 'failed')
        end()
      },
      died: () => {
        if (state === 'held' && record.believedUntil === undefined) record.diedAt = this.#now
        if (state === 'asking') record.diedAt = this.#now
        state = 'over'
      },
    }
    const end = () => {
      state = 'over'
      process.wards.delete(ward)
      this.#by(process, 5 + this.#random() * 30, () => this.#acquire(process))
    }
    const giveUp = (outcome: Outcome) => {
      this.#settle(record, outcome)
      end()
    }
    process.wards.add(ward)
    this.#after(this.#latency(), () => {
      if (this.#dead.has(lease)) {
        this.#by(process, this.#latency(), () => {
          if (state === 'asking') giveUp('failed')
        })
        return
      }
      token = this.#put(key, `{"owner":"${process.name}"}`, lease)
      const waiting: Waiting = {
        key,
        token,
        notified: false,
        turn: () =>
          this.#by(process, this.#latency(), () => {
            if (state !== 'asking') return
            state = 'held'
            this.#settle(record, 'ok')
            record.key = key
            record.token = waiting.token
            this.#hold(process, record, ward, end)
          }),
      }
      const places = this.#waiting.get(line)
      if (places === undefined) this.#waiting.set(line, [waiting])
      else places.push(waiting)
      this.#notify(line)
      const look = () => {
        if (state !== 'asking') return
        if (this.#store.get(key)?.createRevision === waiting.token) return void this.#by(process, 10, look)
        giveUp('failed')
      }
      this.#by(process, LATENCY_MS * 2, look)
      // Given up before it was even there: it goes as soon as its process hears of it.
      if (state === 'over') this.#by(process, this.#latency(), () => this.#deletePlace(key, waiting.token))
    })
    if (!this.#happens(this.#options.trouble * 0.4)) return
    const outcome = this.#happens(0.5) ? 'failed' : 'unknown'
    this.#by(process, this.#random() * 60, () => {
      if (state !== 'asking') return
      giveUp(outcome)
      if (token !== undefined) {
        const created = token
        this.#by(process, this.#latency(), () => this.#deletePlace(key, created))
      }
    })
  }

  #hold(process: Process, record: Mutable<Acquisition>, ward: Ward, end: () => void): void {
    const isHeld = () => record.believedUntil === undefined && process.wards.has(ward)
    const work = (left: number) => {
      if (!isHeld()) return
      if (left === 0) return this.#release(process, record, end)
      this.#writeGuarded(process, record)
      this.#by(process, this.#random() * 40, () => work(left - 1))
    }
    this.#by(process, this.#random() * 30, () => work(Math.floor(this.#random() * 3)))
    // Whoever takes the place is heard of a little later.
    const { key, token } = record
    const look = () => {
      if (!isHeld()) return
      if (this.#store.get(key!)?.createRevision === token) return void this.#by(process, 5, look)
      this.#endBelief(record, 'LOCK_LOST')
      if (this.#happens(0.3)) this.#releaseLost(process, record)
      end()
    }
    this.#by(process, 5, look)
  }

  #release(process: Process, acquisition: Mutable<Acquisition>, end: () => void): void {
    this.#endBelief(acquisition)
    const { key, token } = acquisition
    const record: Mutable<Release> = {
      id: this.#id('r'),
      process: process.name,
      acquisition: acquisition.id,
      outcome: 'unknown',
      invokedAt: this.#now,
      settledAt: Infinity,
    }
    this.#releases.push(record)
    this.#after(this.#latency(), () => this.#deletePlace(key!, token!))
    if (this.#happens(this.#options.trouble * 0.2)) {
      this.#by(process, 60, () => {
        this.#settle(record, 'unknown')
        end()
      })
      return
    }
    this.#by(process, LATENCY_MS + 1 + this.#latency(), () => {
      this.#settle(record, 'ok')
      record.wasHeld = true
      end()
    })
  }

  #releaseLost(process: Process, acquisition: Acquisition): void {
    this.#releases.push({
      id: this.#id('r'),
      process: process.name,
      acquisition: acquisition.id,
      outcome: 'ok',
      wasHeld: false,
      invokedAt: this.#now,
      settledAt: this.#now,
    })
  }

  #endBelief(record: Mutable<Acquisition>, loss?: string): void {
    if (record.believedUntil !== undefined) return
    record.believedUntil = this.#now
    if (loss !== undefined) record.loss = loss
  }

  #settle(record: Mutable<{ settledAt: number; outcome: Outcome }>, outcome: Outcome): void {
    record.settledAt = this.#now
    record.outcome = outcome
  }

  #writeGuarded(process: Process, { id, line, key, token }: Acquisition): void {
    const record: Mutable<GuardedWrite> = {
      id: this.#id('g'),
      process: process.name,
      acquisition: id,
      key: `data/${line.split('/')[1]}`,
      value: this.#id('v'),
      outcome: 'unknown',
      invokedAt: this.#now,
      settledAt: Infinity,
    }
    this.#guardedWrites.push(record)
    this.#deliver(process, record, () => {
      if (this.#store.get(key!)?.createRevision !== token) return 'failed'
      return this.#put(record.key, record.value, 0n)
    })
  }

  // Plain keys.

  #useKeys(process: Process): void {
    if (this.#isOver) return
    const base = {
      process: process.name,
      outcome: 'unknown' as const,
      invokedAt: this.#now,
      settledAt: Infinity,
    }
    const key = `data/k${Math.floor(this.#random() * 4)}`
    if (this.#happens(0.5)) {
      const value = this.#happens(0.2) ? undefined : this.#id('v')
      const record: Mutable<Write> = { id: this.#id('w'), ...base, key, value }
      this.#writes.push(record)
      this.#deliver(process, record, () =>
        value === undefined ? this.#delete([key]) : this.#put(key, value, 0n),
      )
    } else {
      const record: Mutable<Read> = this.#happens(0.6)
        ? { id: this.#id('q'), ...base, from: key }
        : { id: this.#id('q'), ...base, from: 'data/', to: 'data0' }
      this.#reads.push(record)
      this.#deliver(process, record, () => {
        record.found = stateOf(this.#log, this.#log.length - 1, record)
        return this.#revision
      })
    }
    this.#by(process, 10 + this.#random() * 60, () => this.#useKeys(process))
  }

  /** To the server and back; either way may be lost. */
  #deliver(
    process: Process,
    record: Mutable<{ settledAt: number; outcome: Outcome; revision?: bigint }>,
    apply: () => bigint | 'failed',
  ): void {
    const lost = this.#happens(this.#options.trouble * 0.1)
    const unheard = lost || this.#happens(this.#options.trouble * 0.15)
    this.#after(this.#latency(), () => {
      const answer = lost ? undefined : apply()
      this.#by(process, this.#latency(), () => {
        if (unheard || answer === undefined) return this.#settle(record, 'unknown')
        if (answer === 'failed') return this.#settle(record, 'failed')
        this.#settle(record, 'ok')
        record.revision = answer
      })
    })
  }

  // Trouble.

  #suffer(process: Process): void {
    if (this.#isOver) return
    if (this.#happens(this.#options.trouble) && !process.afflicted) this.#afflict(process)
    this.#by(process, 100 + this.#random() * 300, () => this.#suffer(process))
  }

  #afflict(process: Process): void {
    const kinds = [
      () => this.#crash(process),
      () => this.#stall(process, TTL_MS * 0.5 * this.#random()),
      () => this.#stallTooLong(process),
      () => this.#cutOff(process),
      () => this.#deleteKey(),
      () => this.#revoke(process, 'lease-revoked'),
      () => this.#revoke(process, 'lease-expired-early'),
      () => this.#overwrite(process),
    ]
    kinds[Math.floor(this.#random() * kinds.length)]!()
  }

  #crash(process: Process): void {
    for (const ward of process.wards) ward.died()
    process.alive = false
    const { lease } = process
    this.#after(TTL_MS * (0.6 + 0.4 * this.#random()), () => this.#endLease(lease))
    this.#after(20, () => this.#start(`${process.name}'`))
  }

  #stall(process: Process, ms: number): void {
    process.stalledUntil = this.#now + ms
    this.#stalls.push({ process: process.name, from: this.#now, until: process.stalledUntil })
  }

  #stallTooLong(process: Process): void {
    process.afflicted = true
    const { lease } = process
    const ms = TTL_MS * (1 + this.#random())
    this.#stall(process, ms)
    this.#after(TTL_MS * (0.6 + 0.4 * this.#random()), () => this.#endLease(lease))
    // Before everything else that waits for it: the clock is read first.
    this.#by(process, ms, () => this.#loseSession(process))
  }

  /** Its renewals do not arrive: it ceases to believe before the server ceases to wait. */
  #cutOff(process: Process): void {
    process.afflicted = true
    const { lease } = process
    this.#after(TTL_MS * 0.95, () => {
      if (process.alive) this.#loseSession(process)
    })
    this.#after(TTL_MS, () => this.#endLease(lease))
  }

  #loseSession(process: Process): void {
    process.afflicted = false
    for (const ward of [...process.wards]) ward.lost()
    this.#newSession(process)
  }

  #intervene(kind: Intervention['kind'], keys: readonly string[]): void {
    this.#interventions.push({ at: this.#now, revision: this.#revision, kind, keys })
  }

  #deleteKey(): void {
    const keys = [...this.#store.keys()].filter(key => key.startsWith('locks/'))
    const key = keys[Math.floor(this.#random() * keys.length)]
    if (key === undefined) return
    this.#delete([key])
    this.#intervene('key-deleted', [key])
  }

  #revoke(process: Process, kind: 'lease-revoked' | 'lease-expired-early'): void {
    process.afflicted = true
    const keys = this.#endLease(process.lease)
    if (keys.length > 0) this.#intervene(kind, keys)
    // The watch of the own key, or the next renewal, tells.
    this.#by(process, 5 + this.#random() * (NOTICE_MS - 10), () => this.#loseSession(process))
  }

  #overwrite(process: Process): void {
    const key = [...this.#store.keys()].find(
      name => name.startsWith('locks/') && name.endsWith(process.lease.toString(16)),
    )
    const stored = key && this.#store.get(key)
    if (key === undefined || !stored) return
    this.#put(key, 'overwritten', stored.lease)
    this.#intervene('key-overwritten', [key])
  }

  // Watchers, who tell of the log afterwards.

  #watch(each: number): Watched {
    const ranges = [
      { from: 'locks/', to: 'locks0' },
      { from: 'data/', to: 'data0' },
      { from: 'data/k1' },
      { from: 'a', to: '\0' },
    ]
    const range = ranges[Math.floor(this.#random() * ranges.length)]!
    const begin = Math.floor(this.#random() * this.#log.length * 0.3)
    const last = this.#log.length - 1 - Math.floor(this.#random() * this.#log.length * 0.2)
    const cut = this.#happens(0.4) ? begin + Math.floor(this.#random() * (last - begin)) : undefined
    const gap = cut === undefined ? 0 : Math.floor(this.#random() * Math.min(20, last - cut))
    const told: Told[] = []
    for (let index = begin; index <= last; index += 1) {
      const { revision, changes } = this.#log[index]!
      if (index === cut) {
        index += gap
        const found = stateOf(this.#log, index, range)
        told.push({ kind: 'reset', revision: this.#log[index]!.revision, found })
        continue
      }
      const inRange = changes.filter(({ key }) => isIn(range, key))
      if (inRange.length > 0) told.push({ kind: 'changes', revision, changes: inRange })
    }
    return {
      id: `watch${each}`,
      process: 'p0',
      ...range,
      since: this.#log[begin]!.revision,
      toldUntil: this.#log[Math.max(begin, last)]!.revision,
      told,
    }
  }
}

interface Range {
  readonly from: string
  readonly to?: string
}

function isIn({ from, to }: Range, key: string): boolean {
  if (to === undefined) return key === from
  return from <= key && (to === '\0' || key < to)
}

/** By going through the whole log: slow, and not what the checkers do. */
function stateOf(log: readonly Commit[], last: number, range: Range): Found[] {
  const state = new Map<string, Found>()
  for (const { revision, changes } of log.slice(0, last + 1)) {
    for (const change of changes) {
      if (!isIn(range, change.key)) continue
      if (change.kind === 'delete') state.delete(change.key)
      else {
        const { key, value, createRevision, version } = change
        state.set(key, { key, value, createRevision, modRevision: revision, version })
      }
    }
  }
  return [...state.values()].sort((one, other) => (one.key < other.key ? -1 : 1))
}
