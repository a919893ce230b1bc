import test from 'ava'
import { type Deep, integer, type Kind, pick, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import { history, put } from './hand-written.ts'
import type { Change, Commit } from './history.ts'
import { checkObserver, type Head } from './observers.ts'

const { log } = history({
  log: [
    [put('l/a', 2n)],
    [put('l/b', 3n)],
    [put('m/a', 4n)],
    [{ kind: 'put', key: 'l/a', value: 'again', createRevision: 2n, version: 2n, lease: 1n }],
    [{ kind: 'delete', key: 'l/a' }],
    [{ kind: 'delete', key: 'l/b' }],
    [put('l/c', 8n)],
  ],
  times: [1, 2, 3, 4, 5, 6, 7],
})
const head = (createRevision: bigint, modRevision = createRevision): Head => ({ createRevision, modRevision })
const all = [undefined, head(2n), head(2n, 5n), head(3n), undefined, head(8n)]

function told(...heads: readonly (Head | undefined)[]): string | undefined {
  return checkObserver(log, { line: 'l/', told: heads })[0]?.rule
}

test('whoever is told all that happened from some point on is told the truth', t => {
  for (let from = 0; from <= all.length; from++)
    for (let to = from; to <= all.length; to++)
      t.is(told(...all.slice(from, to)), undefined, `${from} to ${to}`)
})

interface Facts {
  readonly log: readonly Commit[]
  readonly told: readonly (Head | undefined)[]
  readonly owedUntil: bigint
}

/** An election of some length beside another, and what an observer was told of a part of it. */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const live: { readonly key: string; readonly createRevision: bigint; version: bigint }[] = []
  const log: Commit[] = []
  const heads: (Head | undefined)[] = [undefined]
  /** When each of them began. */
  const since: bigint[] = [0n]
  for (let index = 0; index < 50; index += 1) {
    const revision = BigInt(index + 2)
    const kind = random()
    const changes: Change[] = []
    const one = pick(live, random)
    if (kind < 0.2) changes.push(put(`m/${index}`, revision))
    else if (one === undefined || (kind < 0.45 && live.length < 4)) {
      const key = `l/${index}`
      live.push({ key, createRevision: revision, version: 1n })
      changes.push(put(key, revision))
    } else if (kind < 0.7) {
      one.version += 1n
      changes.push({ ...put(one.key, one.createRevision, `${index}`), version: one.version } as Change)
    } else {
      // Most leave when they lead.
      const gone = kind < 0.9 ? live[0]! : one
      live.splice(live.indexOf(gone), 1)
      changes.push({ kind: 'delete', key: gone.key })
    }
    log.push({ revision, at: index, changes })
    const [first] = live
    const wrote = changes.find(({ key }) => key === first?.key)
    const last = heads.at(-1)
    if (first === undefined) {
      if (last !== undefined) heads.push(undefined)
    } else if (wrote !== undefined || last?.createRevision !== first.createRevision) {
      const modRevision = wrote === undefined ? lastWrite(log, first.key) : revision
      heads.push({ createRevision: first.createRevision, modRevision })
    }
    if (heads.length > since.length) since.push(revision)
  }
  const from = integer(random, 0, 3)
  const to = heads.length - integer(random, 0, 3)
  return { log, told: heads.slice(from, to), owedUntil: since[to - 1]! }
}

function lastWrite(log: readonly Commit[], key: string): bigint {
  return log.findLast(({ changes }) => changes.some(change => change.key === key))!.revision
}

type Draft = Deep<Facts>

function inTold(
  fits: (told: Draft['told'], index: number) => boolean,
  change: (told: Draft['told'], index: number, draft: Draft, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return (draft, random) =>
    toOne(
      // The very ends may be left out, and nobody can tell where a beginning begins.
      [...draft.told.keys()].slice(3, -2),
      random,
      index => fits(draft.told, index),
      index => change(draft.told, index, draft, random),
    )
}

const isLeader = (told: Draft['told'], index: number) => told[index] !== undefined
const isVacant = (told: Draft['told'], index: number) => told[index] === undefined
const misplaced = ['leader-out-of-place']
const invented = ['leader-invented']

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'a leader is left out',
    rules: misplaced,
    corrupt: inTold(isLeader, (told, index) => told.splice(index, 1)),
  },
  {
    title: 'a vacancy is left out',
    rules: misplaced,
    corrupt: inTold(isVacant, (told, index) => told.splice(index, 1)),
  },
  {
    title: 'several are left out at once',
    rules: misplaced,
    corrupt: inTold(isLeader, (told, index, _, random) => told.splice(index - 1, integer(random, 2, 3))),
  },
  {
    title: 'a leader is told twice in a row',
    rules: misplaced,
    corrupt: inTold(isLeader, (told, index) => told.splice(index, 0, { ...told[index]! })),
  },
  {
    title: 'a vacancy is told twice in a row',
    rules: misplaced,
    corrupt: inTold(isVacant, (told, index) => told.splice(index, 0, undefined)),
  },
  {
    title: 'a vacancy is told while somebody leads',
    rules: misplaced,
    corrupt: inTold(
      (told, index) => isLeader(told, index) && isLeader(told, index - 1),
      (told, index) => told.splice(index, 0, undefined),
    ),
  },
  {
    title: 'two are told in the wrong order',
    rules: misplaced,
    corrupt: inTold(
      (told, index) => isLeader(told, index) || isLeader(told, index + 1),
      (told, index) => told.splice(index, 2, told[index + 1], told[index]),
    ),
  },
  {
    title: 'somebody is told again who led before',
    rules: misplaced,
    corrupt: inTold(isLeader, (told, index, { told: all }, random) => {
      const before = all.slice(0, index - 1).filter(head => head !== undefined)
      const head = pick(before, random)
      if (head !== undefined) told.splice(index, 0, { ...head })
      else told.splice(index, 1)
    }),
  },
  {
    title: 'a leader is told at the end who led at the beginning',
    rules: misplaced,
    corrupt: ({ told }) => {
      const [first, ...rest] = told.filter(head => head !== undefined)
      if (first === undefined || rest.length < 2) return false
      told.push({ ...first })
      return true
    },
  },
  {
    title: 'somebody is told who never led',
    rules: invented,
    corrupt: inTold(isLeader, (told, index, _, random) => {
      const revision = BigInt(integer(random, 1000, 2000))
      told[index] = { createRevision: revision, modRevision: revision }
    }),
  },
  {
    title: 'a proclamation is told that was none',
    rules: invented,
    corrupt: inTold(isLeader, (told, index, _, random) => {
      told[index]!.modRevision += BigInt(integer(random, 1000, 2000))
    }),
  },
  {
    title: 'the leader of another line is told',
    rules: invented,
    corrupt: inTold(isLeader, (told, index, { log }, random) => {
      const others = log.filter(({ changes }) => changes.some(({ key }) => key.startsWith('m/')))
      const { revision } = pick(others, random)!
      told[index] = { createRevision: revision, modRevision: revision }
    }),
  },
  {
    title: 'somebody is told who waits in the line and does not lead',
    rules: invented,
    corrupt: (draft, random) => {
      const { told, log } = draft
      const led = new Set(told.map(head => head?.createRevision))
      const last = told.findLast(head => head !== undefined)
      const waiting = log.filter(
        ({ revision, changes: [change] }) =>
          change?.kind === 'put' &&
          change.key.startsWith('l/') &&
          change.version === 1n &&
          !led.has(revision) &&
          log.some(
            ({ revision: gone, changes }) =>
              changes.some(one => one.kind === 'delete' && one.key === change.key) &&
              gone < (last?.modRevision ?? 0n),
          ),
      )
      const one = pick(waiting, random)
      if (one === undefined) return false
      told.splice(integer(random, 4, told.length - 1), 0, {
        createRevision: one.revision,
        modRevision: one.revision,
      })
      return true
    },
  },
  {
    title: 'whoever is told first never led',
    rules: invented,
    corrupt: (draft, random) => {
      const revision = BigInt(integer(random, 1000, 2000))
      draft.told.unshift({ createRevision: revision, modRevision: revision })
      return true
    },
  },
  {
    title: 'the last of them are not told',
    rules: ['leader-untold'],
    corrupt: ({ told }, random) => {
      told.splice(-integer(random, 1, 3))
      return told.some(head => head !== undefined)
    },
  },
  {
    title: 'nothing but vacancies is told',
    rules: ['vacancy-repeated'],
    corrupt: (draft, random) => {
      draft.told = Array.from({ length: integer(random, 2, 9) }, () => undefined)
      return true
    },
  },
]

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of observers',
  good: drawn,
  check: ({ log, told, owedUntil }) => checkObserver(log, { line: 'l/', told, owedUntil }),
  kinds,
})

test('whoever is owed more than it was told has missed the end', t => {
  const owed = (owedUntil: bigint, ...heads: readonly (Head | undefined)[]) =>
    checkObserver(log, { line: 'l/', told: heads, owedUntil }).map(({ rule }) => rule)
  for (let from = 0; from < all.length; from++)
    for (let to = from + 1; to <= all.length; to++) {
      const some = all.slice(from, to)
      // One who saw vacancies only may have seen the last of them.
      if (some.every(one => one === undefined)) continue
      // Each of them began with one of these revisions.
      for (const [index, since] of [1n, 2n, 5n, 6n, 7n, 8n].entries())
        t.deepEqual(
          owed(since, ...some),
          index < to ? [] : ['leader-untold'],
          `${from} to ${to}, owed until ${since}`,
        )
    }
  t.deepEqual(owed(8n), ['leader-untold'])
  t.deepEqual(owed(0n), [])
  t.deepEqual(owed(7n, undefined), [])
  t.deepEqual(owed(8n, undefined), ['leader-untold'])
})
