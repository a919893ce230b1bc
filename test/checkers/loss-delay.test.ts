import { type Deep, integer, type Kind, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import { acquisition, history, put } from './hand-written.ts'
import type { Acquisition, Change, Commit, History } from './history.ts'
import { checkLossDelay } from './loss-delay.ts'

const DELAY_MS = 500
const LINE = 'locks/0/'
const MARK = 'locks/0.delay'

/** One owner after the other; some unlock and some lose it, and after those the next one waits. */
function drawn(seed: number): History {
  const random = seeded(seed)
  const log: Commit[] = []
  const acquisitions: Acquisition[] = []
  let at = 0
  const commit = (...changes: Change[]) => {
    log.push({ revision: BigInt(log.length + 2), at, changes })
  }
  const granted = (line: string, index: number, settledAt: number): Acquisition => {
    const key = `${line}${index}`
    const token = BigInt(log.length + 2)
    commit(put(key, token))
    const rest = { id: `a${index}`, process: `p${index}`, line, invokedAt: at, settledAt }
    const one = acquisition(key, token, rest)
    acquisitions.push(one)
    return one
  }
  let freeAt = 0
  for (let index = 0; index < 14; index += 1) {
    at += integer(random, 5, 30)
    const one = granted(LINE, index, Math.max(at, freeAt) + integer(random, 1, 5))
    at = one.settledAt + integer(random, 5, 200)
    // It is left with its lease and had again, which is no grant.
    if (random() < 0.2)
      acquisitions.push({ ...one, id: `b${index}`, invokedAt: at - 2, settledAt: at - 1, resumes: one.id })
    const isLost = index % 2 === 0
    commit({ kind: 'delete', key: one.key! }, ...(isLost ? [] : [{ kind: 'delete', key: MARK } as const]))
    freeAt = isLost ? at + DELAY_MS : at
    // Elsewhere there is no delay.
    const other = granted('jobs/0/', 100 + index, at)
    commit({ kind: 'delete', key: other.key! })
  }
  return { ...history(), log, acquisitions }
}

type Draft = Deep<History>
type Grant = Deep<Acquisition>

interface Handover {
  readonly before: Grant
  readonly after: Grant
  readonly gone: Deep<Commit>
  readonly isLost: boolean
}

function handoversIn({ log, acquisitions }: Draft): readonly Handover[] {
  const granted = acquisitions.filter(({ line, resumes }) => line === LINE && resumes === undefined)
  return granted.slice(1).map((after, index) => {
    const before = granted[index]!
    const gone = log.find(({ changes: [one] }) => one?.kind === 'delete' && one.key === before.key)!
    return { before, after, gone, isLost: gone.changes.length === 1 }
  })
}

function toHandover(
  isLost: boolean,
  change: (handover: Handover, draft: Draft, random: Random) => void,
): Kind<History>['corrupt'] {
  return (draft, random) =>
    toOne(
      handoversIn(draft),
      random,
      one => one.isLost === isLost,
      one => change(one, draft, random),
    )
}

const rules = ['granted-within-delay']

const kinds: readonly Kind<History>[] = [
  {
    title: 'somebody holds right after a loss',
    rules,
    corrupt: toHandover(true, ({ after, gone }, _, random) => {
      after.settledAt = gone.at + integer(random, 1, 5)
    }),
  },
  {
    title: 'somebody holds in the very instant of a loss',
    rules,
    corrupt: toHandover(true, ({ after, gone }) => {
      after.settledAt = gone.at
    }),
  },
  {
    title: 'somebody holds before the half of the delay is over',
    rules,
    corrupt: toHandover(true, ({ after, gone }, _, random) => {
      after.settledAt = gone.at + integer(random, 6, DELAY_MS / 2)
    }),
  },
  {
    title: 'somebody holds a moment before the delay is over',
    rules,
    corrupt: toHandover(true, ({ after, gone }, _, random) => {
      after.settledAt = gone.at + DELAY_MS - integer(random, 1, 9) / 10
    }),
  },
  {
    title: 'somebody holds before the one ahead has lost it',
    rules,
    corrupt: toHandover(true, ({ after, gone }, _, random) => {
      after.settledAt = gone.at - integer(random, 1, 5)
    }),
  },
  {
    title: 'what was taken for unlocking was a loss',
    rules,
    corrupt: toHandover(false, ({ gone }) => {
      gone.changes = gone.changes.filter(({ key }) => key !== MARK)
    }),
  },
  {
    title: 'the mark that goes with the place is that of another lock',
    rules,
    corrupt: toHandover(false, ({ gone }, _, random) => {
      for (const change of gone.changes)
        if (change.key === MARK) change.key = `locks/${integer(random, 1, 99)}.delay`
    }),
  },
  {
    title: 'the mark of the place is written, and does not go',
    rules,
    corrupt: toHandover(false, ({ gone }) => {
      gone.changes = gone.changes.map(change =>
        change.key === MARK ? (put(MARK, gone.revision) as Deep<Change>) : change,
      )
    }),
  },
  {
    title: 'the mark goes in the next commit, and not with the place',
    rules,
    corrupt: toHandover(false, ({ gone }, { log }) => {
      gone.changes = gone.changes.filter(({ key }) => key !== MARK)
      log[log.indexOf(gone) + 1]!.changes.push({ kind: 'delete', key: MARK })
    }),
  },
  {
    title: 'the place is lost later than was thought',
    rules,
    corrupt: toHandover(true, ({ gone, after }, _, random) => {
      gone.at = after.settledAt - integer(random, 1, DELAY_MS - 10)
    }),
  },
  {
    title: 'a hold that was had before is told as a new one, and is lost soon after',
    rules,
    corrupt: (draft, random) => {
      const lost = handoversIn(draft).flatMap(({ isLost, before }) => (isLost ? [before.id] : []))
      return toOne(
        draft.acquisitions,
        random,
        ({ resumes }) => resumes !== undefined && lost.includes(resumes),
        again => {
          delete again.resumes
        },
      )
    },
  },
  {
    title: 'another takes the turn of whoever waits for the delay',
    rules,
    corrupt: (draft, random) =>
      toOne(
        handoversIn(draft),
        random,
        ({ isLost }) => isLost,
        ({ after, gone, before }) => {
          const token = gone.revision
          const times = { invokedAt: gone.at, settledAt: gone.at + integer(random, 1, 100) }
          draft.acquisitions.push({ ...after, id: 'early', key: `${before.key}-early`, token, ...times })
        },
      ),
  },
]

tellsBadHistories<History, Kind<History>>({
  name: 'the checker of the delay after a loss',
  good: drawn,
  check: told => checkLossDelay(told, { prefix: 'locks/', shortestMs: DELAY_MS }),
  kinds,
})
