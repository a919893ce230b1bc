import { type Deep, integer, type Kind, pick, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import type { Change, Commit } from './history.ts'
import { checkPermits } from './permits.ts'

type Log = readonly Commit[]
type Put = Extract<Change, { kind: 'put' }>

const NAMES = ['jobs/a', 'jobs/b']
const LIMIT = 4

/** Claims of one permit or several that are given what is free, or wait in line; and limits that are changed. */
function drawn(seed: number): Log {
  const random = seeded(seed)
  const log: Commit[] = []
  const commit = (...changes: Change[]) => {
    log.push({ revision: BigInt(log.length + 2), at: 10 * log.length, changes })
  }
  const semaphores = NAMES.map(name => new Semaphore(name, commit, () => BigInt(log.length + 2)))
  for (const semaphore of semaphores) semaphore.resize(LIMIT)
  for (let turn = 0; turn < 60; turn += 1) {
    const semaphore = pick(semaphores, random)!
    const kind = random()
    if (kind < 0.5) semaphore.ask(`claim ${turn}`, random() < 0.6 ? 1 : integer(random, 2, 3))
    else if (kind < 0.9) semaphore.release(random)
    else if (kind < 0.95) semaphore.giveUp(random)
    else semaphore.resize(integer(random, 3, 5))
  }
  return log
}

/** As a sound server and sound clients have it. */
class Semaphore {
  readonly #name: string
  readonly #commit: (...changes: Change[]) => void
  readonly #next: () => bigint
  readonly #held = new Map<string, string>()
  readonly #line: { readonly key: string; readonly claim: string; readonly count: number }[] = []
  #limit = 0

  constructor(name: string, commit: (...changes: Change[]) => void, next: () => bigint) {
    this.#name = name
    this.#commit = commit
    this.#next = next
  }

  resize(limit: number): void {
    this.#limit = limit
    this.#commit(put(`${this.#name}/limit`, `${limit}`, 2n))
    this.#serve()
  }

  ask(claim: string, count: number): void {
    if (this.#line.length === 0 && this.#give(claim, count)) return
    const key = `${this.#name}/w/${claim}`
    this.#line.push({ key, claim, count })
    this.#commit(put(key, claim, this.#next()))
  }

  /** All that one claim was given. */
  release(random: Random): void {
    const value = pick([...this.#held.values()], random)
    if (value === undefined) return
    const keys = [...this.#held.keys()].filter(key => this.#held.get(key) === value)
    for (const key of keys) this.#held.delete(key)
    this.#commit(...keys.map(key => ({ kind: 'delete' as const, key })))
    this.#serve()
  }

  giveUp(random: Random): void {
    const one = pick(this.#line, random)
    if (one === undefined) return
    this.#line.splice(this.#line.indexOf(one), 1)
    this.#commit({ kind: 'delete', key: one.key })
    this.#serve()
  }

  #serve(): void {
    for (;;) {
      const [head] = this.#line
      if (head === undefined || !this.#give(head.claim, head.count, { kind: 'delete', key: head.key })) return
      this.#line.shift()
    }
  }

  #give(claim: string, count: number, ...besides: Change[]): boolean {
    const slots = Array.from({ length: this.#limit }, (_, index) => slotOf(this.#name, index))
    const free = slots.filter(key => !this.#held.has(key))
    if (this.#held.size + count > this.#limit || free.length < count) return false
    const value = JSON.stringify({ claim, count })
    const given = free.slice(0, count)
    for (const key of given) this.#held.set(key, value)
    this.#commit(...given.map(key => put(key, value, this.#next())), ...besides)
    return true
  }
}

function slotOf(name: string, index: number): string {
  return `${name}/s/${String(index).padStart(4, '0')}`
}

function put(key: string, value: string, createRevision: bigint): Put {
  return { kind: 'put', key, value, createRevision, version: 1n, lease: 7n }
}

/** Permits given in one commit, and how things stood right before. */
interface Gift {
  readonly name: string
  readonly commit: Deep<Commit>
  readonly index: number
  readonly given: readonly Deep<Put>[]
  readonly held: readonly string[]
  readonly waiting: readonly string[]
  readonly limit: number
}

function giftsIn(log: Deep<Log>): readonly Gift[] {
  const live = new Map<string, string>()
  return log.flatMap((commit, index) => {
    const given = commit.changes.filter(
      (change): change is Deep<Put> => change.kind === 'put' && change.key.includes('/s/'),
    )
    const name = NAMES.find(each => given[0]?.key.startsWith(each))
    const below = (part: string) => [...live.keys()].filter(key => key.startsWith(`${name}/${part}/`))
    const gift = name === undefined ? [] : [{ name, held: below('s'), waiting: below('w') }]
    const limit = Number(live.get(`${name}/limit`))
    for (const change of commit.changes)
      if (change.kind === 'put') live.set(change.key, change.value)
      else live.delete(change.key)
    return gift.map(one => ({ ...one, commit, index, given, limit }))
  })
}

function toGift(
  fits: (gift: Gift) => boolean,
  change: (gift: Gift, log: Deep<Log>, random: Random) => void,
): Kind<Log>['corrupt'] {
  return (log, random) => toOne(giftsIn(log), random, fits, gift => change(gift, log, random))
}

/** More commits, as of then; revisions and creations move on with them. */
function insert(log: Deep<Log>, index: number, ...commits: readonly (readonly Change[])[]): void {
  const created = new Map<Deep<Change>, Deep<Commit>>()
  for (const commit of log)
    for (const change of commit.changes)
      if (change.kind === 'put' && change.createRevision === commit.revision) created.set(change, commit)
  const at = log[index]?.at ?? 0
  const more = commits.map(changes => ({
    revision: 0n,
    at,
    changes: structuredClone(changes) as Deep<Change>[],
  }))
  log.splice(index, 0, ...more)
  for (const commit of more) for (const change of commit.changes) created.set(change, commit)
  for (const [each, commit] of log.entries()) commit.revision = BigInt(each + 2)
  for (const [change, commit] of created) if (change.kind === 'put') change.createRevision = commit.revision
}

const everything = () => true

const kinds: readonly Kind<Log>[] = [
  {
    title: 'more permits are given than there are',
    rules: ['permits-beyond-limit', 'slot-beyond-limit'],
    corrupt: toGift(
      ({ held, given, limit }) => held.length + given.length === limit,
      ({ name, commit, given, limit }) => {
        const value = JSON.stringify({ ...JSON.parse(given[0]!.value), count: given.length + 1 })
        for (const change of given) change.value = value
        commit.changes.push(put(slotOf(name, limit + 50), value, commit.revision))
      },
    ),
  },
  {
    title: 'permits are given while those beyond a lowered limit are held',
    rules: ['permits-beyond-limit'],
    corrupt: toGift(
      ({ waiting }) => waiting.length === 0,
      ({ name, index, limit }, log) => {
        const more = Array.from({ length: limit }, (_, each) => slotOf(name, limit + 1 + each))
        const value = JSON.stringify({ claim: 'many', count: limit })
        insert(
          log,
          index,
          [put(`${name}/limit`, '20', 2n)],
          more.map(key => put(key, value, 0n)),
          [put(`${name}/limit`, `${limit}`, 2n)],
        )
      },
    ),
  },
  {
    title: 'a permit is given with all of a lowered limit held',
    rules: ['permits-beyond-limit'],
    corrupt: toGift(
      ({ held, given }) => held.length > 0 && given.length === 1 && given[0]!.key.endsWith('0'),
      ({ name, index, limit }, log) => {
        insert(log, index + 1, [put(`${name}/limit`, `${limit}`, 2n)])
        insert(log, index, [put(`${name}/limit`, '1', 2n)])
      },
    ),
  },
  {
    title: 'permits are given in the very commit that takes all away',
    rules: ['permits-beyond-limit', 'slot-beyond-limit'],
    corrupt: toGift(everything, ({ name, commit, index, limit }, log) => {
      commit.changes.push(put(`${name}/limit`, '0', 2n))
      insert(log, index + 1, [put(`${name}/limit`, `${limit}`, 2n)])
    }),
  },
  {
    title: 'permits are given, and nobody has said how many there are',
    rules: ['permits-beyond-limit', 'slot-beyond-limit'],
    corrupt: (log, random) => {
      const name = pick(NAMES, random)!
      for (const commit of log) commit.changes = commit.changes.filter(({ key }) => key !== `${name}/limit`)
      return true
    },
  },
  {
    title: 'a slot is given that is none',
    rules: ['slot-beyond-limit'],
    corrupt: toGift(everything, ({ name, given, index, limit }, log, random) => {
      const { key } = pick(given, random)!
      const other = slotOf(name, limit + integer(random, 0, 5))
      const gone = log.findIndex(
        ({ changes }, each) => each > index && changes.some(one => one.kind === 'delete' && one.key === key),
      )
      for (const commit of log.slice(index, gone === -1 ? undefined : gone + 1))
        for (const change of commit.changes) if (change.key === key) change.key = other
    }),
  },
  {
    title: 'a permit is given that somebody has',
    rules: ['permit-given-twice'],
    corrupt: toGift(
      ({ held }) => held.some(key => Number(key.slice(-4)) < 3),
      ({ held, given }, _, random) => {
        given[0]!.key = pick(
          held.filter(key => Number(key.slice(-4)) < 3),
          random,
        )!
      },
    ),
  },
  {
    title: 'permits are given to whoever is not the head of the line',
    rules: ['permits-out-of-turn'],
    corrupt: toGift(
      ({ waiting }) => waiting.length > 1,
      ({ commit, waiting }, _, random) => {
        const gone = commit.changes.find(({ kind }) => kind === 'delete')!
        gone.key = pick(waiting.slice(1), random)!
      },
    ),
  },
  {
    title: 'permits are given and the head of the line stays',
    rules: ['permits-out-of-turn'],
    corrupt: toGift(
      ({ waiting }) => waiting.length > 0,
      ({ commit }) => {
        commit.changes = commit.changes.filter(({ kind }) => kind !== 'delete')
      },
    ),
  },
  {
    title: 'whoever wants little is given it before the head of the line, who wants much',
    rules: ['permits-out-of-turn'],
    corrupt: toGift(
      ({ waiting, held, limit }) => waiting.length === 0 && held.length < limit,
      ({ name, index, held, limit }, log, random) => {
        const free = Array.from({ length: limit }, (_, each) => slotOf(name, each)).filter(
          key => !held.includes(key),
        )
        const key = pick(free, random)!
        const waiter = `${name}/w/much`
        insert(
          log,
          index,
          [put(waiter, 'much', 0n)],
          [put(key, JSON.stringify({ claim: 'little', count: 1 }), 0n)],
          [{ kind: 'delete', key }],
          [{ kind: 'delete', key: waiter }],
        )
      },
    ),
  },
  {
    title: 'a claim is given a part of what it asked for',
    rules: ['claim-in-part'],
    corrupt: toGift(
      ({ given }) => given.length > 1,
      ({ commit, given }, _, random) => {
        const one = pick(given, random)
        commit.changes = commit.changes.filter(change => change !== one)
      },
    ),
  },
  {
    title: 'a claim is given more than it asked for',
    rules: ['claim-in-part'],
    corrupt: toGift(
      ({ given }) => given.length > 1,
      ({ given }) => {
        for (const change of given)
          change.value = JSON.stringify({ ...JSON.parse(change.value), count: given.length - 1 })
      },
    ),
  },
  {
    title: 'a permit is given to a claim that asked for several',
    rules: ['claim-in-part'],
    corrupt: toGift(
      ({ given }) => given.length === 1,
      ({ given: [change] }, _, random) => {
        change!.value = JSON.stringify({ ...JSON.parse(change!.value), count: integer(random, 2, 3) })
      },
    ),
  },
  {
    title: 'permits of one claim are given in the name of another',
    rules: ['claims-mixed'],
    corrupt: toGift(
      ({ given }) => given.length > 1,
      ({ given }, _, random) => {
        const change = pick(given.slice(1), random)!
        change.value = JSON.stringify({ claim: 'another', count: given.length })
      },
    ),
  },
  {
    title: 'two claims are given what is free in one commit',
    rules: ['claim-in-part', 'claims-mixed'],
    corrupt: toGift(
      ({ held, given, limit, waiting }) => waiting.length === 0 && held.length + given.length < limit,
      ({ name, commit, index, held, given, limit }, log) => {
        const taken = [...held, ...given.map(({ key }) => key)]
        const key = Array.from({ length: limit }, (_, each) => slotOf(name, each)).find(
          each => !taken.includes(each),
        )!
        commit.changes.push(put(key, JSON.stringify({ claim: 'another', count: 1 }), commit.revision))
        insert(log, index + 1, [{ kind: 'delete', key }])
      },
    ),
  },
]

tellsBadHistories<Log, Kind<Log>>({
  name: 'the checker of permits',
  good: drawn,
  check: checkPermits,
  kinds,
})
