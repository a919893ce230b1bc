import type { Acquisition, Change, Commit, History, Intervention, Violation } from './history.ts'
import { contains, type KeySpan } from './key-span.ts'
import type { LineRule, Place } from './line-rule.ts'

/** From one commit, by its index in the log, up to and without another. */
export interface OwnedSpan {
  readonly from: number
  until: number
}

/** One place from its creation to its end. Indexes are those of commits in the log. */
export interface PlaceLife {
  readonly line: string
  /** As last written. */
  place: Place
  readonly created: number
  /** The commit that deleted it; `Infinity` while it is there. */
  gone: number
  /** It went together with everything else its lease had, and the lease was never used again. */
  leaseEnded: boolean
  readonly owned: OwnedSpan[]
}

/** All that happened to one key. */
export interface KeyPast {
  readonly key: string
  readonly indexes: number[]
  readonly changes: Change[]
}

export interface LineTruth {
  readonly line: string
  readonly rule: LineRule
  /** In the order they were created. */
  readonly lives: PlaceLife[]
}

interface LineState extends LineTruth {
  readonly places: Place[]
  readonly livesOf: Map<string, PlaceLife[]>
  owners: readonly Place[]
  touched: boolean
}

interface LeaseState {
  keys: number
  lastPut: number
}

interface KeyState extends KeyPast {
  readonly lines: readonly LineState[]
  /** The last put, while the key is there. */
  live: Extract<Change, { kind: 'put' }> | undefined
  lease: LeaseState | undefined
}

/**
 * The log, replayed once for all checkers: which places there were in each line of the history, when each of
 * them owned, and what became of every key.
 */
export class ServerTruth {
  readonly log: readonly Commit[]
  /** What is wrong with the log itself. */
  readonly flaws: readonly Violation[]
  readonly #lines = new Map<string, LineState>()
  readonly #keys = new Map<string, KeyState>()
  readonly #interventions = new Map<string, Intervention[]>()
  /** By their ends: many calls ask for the same span. */
  readonly #spans = new Map<string, Map<string, KeyPast[]>>()
  readonly #first: bigint

  constructor(history: History, rule: (line: string) => LineRule) {
    this.log = history.log
    this.#first = history.log[0]?.revision ?? 1n
    for (const { line } of history.acquisitions) {
      if (this.#lines.has(line)) continue
      this.#lines.set(line, {
        line,
        rule: rule(line),
        lives: [],
        places: [],
        livesOf: new Map(),
        owners: [],
        touched: false,
      })
    }
    for (const intervention of history.interventions) {
      for (const key of intervention.keys) {
        const known = this.#interventions.get(key)
        if (known === undefined) this.#interventions.set(key, [intervention])
        else known.push(intervention)
      }
    }
    this.flaws = this.#replay()
  }

  get lines(): Iterable<LineTruth> {
    return this.#lines.values()
  }

  line(line: string): LineTruth | undefined {
    return this.#lines.get(line)
  }

  past(key: string): KeyPast | undefined {
    return this.#keys.get(key)
  }

  /** What happened to the keys of a span, in the order of keys. */
  pasts(span: KeySpan): readonly KeyPast[] {
    const { from, to } = span
    if (to === undefined) {
      const past = this.#keys.get(from)
      return past === undefined ? [] : [past]
    }
    let spans = this.#spans.get(from)
    if (spans === undefined) {
      spans = new Map()
      this.#spans.set(from, spans)
    }
    let pasts = spans.get(to)
    if (pasts === undefined) {
      pasts = [...this.#keys.values()].filter(({ key }) => contains(span, key))
      pasts.sort((one, other) => (one.key < other.key ? -1 : 1))
      spans.set(to, pasts)
    }
    return pasts
  }

  /** The place an acquisition says it was given, if the server ever had it. */
  lifeOf({ line, key, token }: Acquisition): PlaceLife | undefined {
    if (key === undefined || token === undefined) return undefined
    const lives = this.#lines.get(line)?.livesOf.get(key)
    if (lives === undefined) return undefined
    for (let low = 0, high = lives.length - 1; low <= high; ) {
      const middle = (low + high) >> 1
      const { createRevision } = lives[middle]!.place
      if (createRevision === token) return lives[middle]
      if (createRevision < token) low = middle + 1
      else high = middle - 1
    }
    return undefined
  }

  /** Where a revision stands in the log, also if it is outside. */
  indexOf(revision: bigint): number {
    return Number(revision - this.#first)
  }

  at(index: number): number {
    return this.log[index]?.at ?? (index < 0 ? -Infinity : Infinity)
  }

  revision(index: number): bigint {
    return this.log[index]?.revision ?? this.#first + BigInt(index)
  }

  /** The last commit that may have been applied by this time; -1 if none. */
  lastBy(time: number, lagMs: number): number {
    let low = 0
    let high = this.log.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.log[middle]!.at - lagMs <= time) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /** What an operator did that ended this place. */
  endedBy(life: PlaceLife): Intervention | undefined {
    if (life.gone === Infinity || this.#interventions.size === 0) return undefined
    const revision = this.log[life.gone]!.revision
    return this.#interventions
      .get(life.place.key)
      ?.find(intervention => intervention.revision === revision && intervention.kind !== 'key-overwritten')
  }

  #replay(): Violation[] {
    const flaws: Violation[] = []
    const leases = new Map<bigint, LeaseState>()
    const ended: { life: PlaceLife; lease: LeaseState }[] = []
    const touched: LineState[] = []
    // Before its first commit a store is at revision 1; a log that begins later does not tell what was there.
    const whole = this.#first <= 2n
    let before: Commit | undefined
    for (let index = 0; index < this.log.length; index += 1) {
      const commit = this.log[index]!
      if (before !== undefined) flawsOfOrder(before, commit, flaws)
      before = commit
      const firstEnded = ended.length
      for (const change of commit.changes) {
        const key = this.#keyState(change.key)
        const flaw = flawOf(key, change, commit, whole)
        if (flaw !== undefined) flaws.push(flaw)
        key.indexes.push(index)
        key.changes.push(change)
        const { live, lease } = key
        if (change.kind === 'put') {
          if (live === undefined || live.lease !== change.lease) {
            if (lease !== undefined) lease.keys -= 1
            key.lease = leaseState(leases, change.lease)
            if (key.lease !== undefined) key.lease.keys += 1
          }
          if (key.lease !== undefined) key.lease.lastPut = index
          key.live = change
          const same = live !== undefined && live.createRevision === change.createRevision
          for (const line of key.lines) {
            if (same) overwrite(line, change)
            else {
              if (live !== undefined) end(line, change.key, index)
              begin(line, change, index)
            }
            touch(line, touched)
          }
        } else {
          if (lease !== undefined) lease.keys -= 1
          key.live = undefined
          key.lease = undefined
          if (live === undefined) continue
          for (const line of key.lines) {
            const life = end(line, change.key, index)
            if (life !== undefined && lease !== undefined) ended.push({ life, lease })
            touch(line, touched)
          }
        }
      }
      for (let each = firstEnded; each < ended.length; each += 1) {
        const { life, lease } = ended[each]!
        life.leaseEnded = lease.keys === 0
      }
      for (const line of touched) decide(line, index)
      touched.length = 0
    }
    for (const { life, lease } of ended) if (lease.lastPut >= life.gone) life.leaseEnded = false
    return flaws
  }

  #keyState(key: string): KeyState {
    const known = this.#keys.get(key)
    if (known !== undefined) return known
    const lines: LineState[] = []
    for (let slash = key.indexOf('/'); slash !== -1; slash = key.indexOf('/', slash + 1)) {
      const line = this.#lines.get(key.slice(0, slash + 1))
      if (line !== undefined) lines.push(line)
    }
    const state: KeyState = { key, indexes: [], changes: [], lines, live: undefined, lease: undefined }
    this.#keys.set(key, state)
    return state
  }
}

/** The last change of a key at or before an index of the log. */
export function changeAt(past: KeyPast, index: number): { change: Change; index: number } | undefined {
  let low = 0
  let high = past.indexes.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (past.indexes[middle]! <= index) low = middle + 1
    else high = middle
  }
  return low === 0 ? undefined : { change: past.changes[low - 1]!, index: past.indexes[low - 1]! }
}

/** Did the place own in the state that commit `index` found, before its own changes? */
export function ownedBefore(life: PlaceLife, index: number): boolean {
  return life.owned.some(span => span.from < index && index <= span.until)
}

function leaseState(leases: Map<bigint, LeaseState>, lease: bigint): LeaseState | undefined {
  if (lease === 0n) return undefined
  let state = leases.get(lease)
  if (state === undefined) {
    state = { keys: 0, lastPut: -1 }
    leases.set(lease, state)
  }
  return state
}

function begin(line: LineState, { key, createRevision, lease, value }: Place, index: number): void {
  const place = { key, createRevision, lease, value }
  const life: PlaceLife = {
    line: line.line,
    place,
    created: index,
    gone: Infinity,
    leaseEnded: false,
    owned: [],
  }
  line.lives.push(life)
  const lives = line.livesOf.get(key)
  if (lives === undefined) line.livesOf.set(key, [life])
  else lives.push(life)
  let position = line.places.length
  // Only what was there before the log began is not the newest.
  while (position > 0 && line.places[position - 1]!.createRevision > createRevision) position -= 1
  if (position === line.places.length) line.places.push(place)
  else line.places.splice(position, 0, place)
}

function overwrite(line: LineState, { key, createRevision, lease, value }: Place): void {
  const life = line.livesOf.get(key)?.at(-1)
  if (life === undefined) return
  const place = { key, createRevision, lease, value }
  const owns = line.owners.indexOf(life.place)
  if (owns !== -1) line.owners = line.owners.with(owns, place)
  line.places[line.places.indexOf(life.place)] = place
  life.place = place
}

function end(line: LineState, key: string, index: number): PlaceLife | undefined {
  const life = line.livesOf.get(key)?.at(-1)
  if (life === undefined || life.gone !== Infinity) return undefined
  life.gone = index
  line.places.splice(line.places.indexOf(life.place), 1)
  return life
}

function touch(line: LineState, touched: LineState[]): void {
  if (line.touched) return
  line.touched = true
  touched.push(line)
}

/** Who owns from this commit on. */
function decide(line: LineState, index: number): void {
  line.touched = false
  const owners = line.rule.owners(line.places)
  const before = line.owners
  line.owners = owners
  if (owners.length === before.length && owners.every((place, each) => place === before[each])) return
  const lifeOf = ({ key, createRevision }: Place) =>
    line.livesOf.get(key)!.findLast(life => life.place.createRevision === createRevision)!
  for (const place of before) if (!owners.includes(place)) lifeOf(place).owned.at(-1)!.until = index
  for (const place of owners) {
    if (!before.includes(place)) lifeOf(place).owned.push({ from: index, until: Infinity })
  }
}

function flawsOfOrder(before: Commit, commit: Commit, flaws: Violation[]): void {
  if (commit.revision !== before.revision + 1n) {
    flaws.push({
      rule: 'log-gap',
      message: `The log goes from revision ${before.revision} to ${commit.revision}.`,
      involved: [`revision ${before.revision}`, `revision ${commit.revision}`],
    })
  }
  if (commit.at < before.at) {
    flaws.push({
      rule: 'log-time-backwards',
      message: `Revision ${commit.revision} is dated ${commit.at}, before ${before.at} of the one before it.`,
      involved: [`revision ${commit.revision}`],
    })
  }
}

function flawOf(
  { live, indexes }: KeyState,
  change: Change,
  { revision }: Commit,
  whole: boolean,
): Violation | undefined {
  const mayBeOlder = !whole && indexes.length === 0
  if (change.kind === 'delete') {
    if (live !== undefined || mayBeOlder) return undefined
    return {
      rule: 'log-delete-of-nothing',
      message: `Revision ${revision} deletes ${change.key}, which was not there.`,
      involved: [`revision ${revision}`],
    }
  }
  const { createRevision, version } = change
  if (live !== undefined) {
    if (createRevision === live.createRevision && version === live.version + 1n) return undefined
  } else if (createRevision === revision && version === 1n) return undefined
  else if (mayBeOlder && createRevision < revision) return undefined
  return {
    rule: 'log-wrong-version',
    message: `Revision ${revision} puts ${change.key} as version ${version} of ${createRevision}, after ${
      live === undefined ? 'it was not there' : `version ${live.version} of ${live.createRevision}`
    }.`,
    involved: [`revision ${revision}`],
  }
}
