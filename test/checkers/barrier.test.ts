import { type Deep, integer, type Kind, pick, tellsBadHistories, toOne } from './bad-histories.ts'
import { type BarrierUse, type BarrierWait, checkBarrier } from './barrier.ts'
import { type Random, seeded } from './good-history.ts'
import type { Change, Commit } from './history.ts'

const NAME = 'gates/0'

interface Facts {
  readonly log: readonly Commit[]
  readonly use: BarrierUse
}

type How = 'released' | 'unleased' | 'abandoned' | 'either'

/** A barrier that is closed and opens in every way, while some wait; in the end it is closed by somebody. */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const log: Commit[] = []
  const waits: BarrierWait[] = []
  const given: bigint[] = []
  let at = 0
  const commit = (...changes: Change[]) => {
    at += integer(random, 20, 60)
    log.push({ revision: BigInt(log.length + 2), at, changes })
    return at
  }
  const hows: readonly How[] = ['released', 'abandoned', 'either', 'unleased']
  for (let closing = 0; closing < 8; closing += 1) {
    const how = hows[closing] ?? pick(hows, random)!
    const createRevision = BigInt(log.length + 2)
    const lease = how === 'unleased' ? 0n : 7n
    const key = {
      kind: 'put',
      key: NAME,
      value: madeBy(`p${closing % 3}`),
      createRevision,
      version: 1n,
    } as const
    const from = commit({ ...key, lease })
    if (random() < 0.8) given.push(createRevision)
    if (how === 'either') commit({ ...key, value: 'spoilt', version: 2n, lease })
    const state: Change = { ...key, key: `${NAME}.state`, value: `${createRevision}`, lease: 0n }
    const until = commit({ kind: 'delete', key: NAME }, ...(how === 'released' ? [state] : []))
    const startedAt = integer(random, from, until)
    const endedAt = until + integer(random, 0, 15)
    waits.push({ startedAt, endedAt, opening: openingOf(how, random) })
    const later = at + integer(random, 1, 10)
    waits.push({ startedAt: later, endedAt: later + integer(random, 1, 5), opening: 'absent' })
  }
  // Slow, and it has opened more than once meanwhile.
  waits.push({ startedAt: 1, endedAt: at, opening: 'unknown' })
  const createRevision = BigInt(log.length + 2)
  commit({ kind: 'put', key: NAME, value: madeBy('p0'), createRevision, version: 1n, lease: 0n })
  return { log, use: { name: NAME, waits, given: [...given, createRevision], running: ['p0', 'p1', 'p11'] } }
}

function madeBy(process: string): string {
  return JSON.stringify({ v: 1, host: `host-of-${process}` })
}

function openingOf(how: How, random: Random): BarrierWait['opening'] {
  if (how === 'either') return random() < 0.5 ? 'released' : 'abandoned'
  return how === 'unleased' ? 'released' : how
}

type Draft = Deep<Facts>
type Wait = Deep<BarrierWait>
interface Closing {
  readonly from: number
  readonly until: number
  readonly first: Deep<Commit>
  readonly last: Deep<Commit>
}

function closingsIn(log: Deep<readonly Commit[]>): readonly Closing[] {
  return log.flatMap((last, index) => {
    if (!last.changes.some(({ kind, key }) => kind === 'delete' && key === NAME)) return []
    const first = log.slice(0, index).findLast(({ changes: [change] }) => {
      return change?.kind === 'put' && change.version === 1n
    })!
    return [{ from: first.at, until: last.at, first, last }]
  })
}

function toWait(
  fits: (wait: Wait, draft: Draft) => boolean,
  change: (wait: Wait, draft: Draft, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return (draft, random) =>
    toOne(
      draft.use.waits,
      random,
      wait => fits(wait, draft),
      wait => change(wait, draft, random),
    )
}

function toClosing(
  change: (closing: Closing, draft: Draft, random: Random) => boolean | undefined,
): Kind<Facts>['corrupt'] {
  return (draft, random) => change(pick(closingsIn(draft.log), random)!, draft, random) !== false
}

/** Nobody else heard of this one. */
function without({ use }: Draft, { from, until }: Closing): void {
  use.waits = use.waits.filter(({ startedAt, endedAt }) => endedAt < from || startedAt > until)
}

function saidIn({ last }: Closing): boolean {
  return last.changes.length > 1
}

const told = ['barrier-told-wrongly']
const left = ['barrier-left-closed']

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'somebody hears that it was released who waited while nobody let go',
    rules: told,
    corrupt: toWait(
      ({ opening }) => opening === 'absent',
      wait => {
        wait.opening = 'released'
      },
    ),
  },
  {
    title: 'somebody hears that it was abandoned who waited while nobody let go',
    rules: told,
    corrupt: toWait(
      ({ opening }) => opening === 'absent',
      wait => {
        wait.opening = 'abandoned'
      },
    ),
  },
  {
    title: 'somebody hears that nobody can know how it opened, and it opened once',
    rules: told,
    corrupt: toWait(
      ({ opening }) => opening === 'released' || opening === 'abandoned',
      wait => {
        wait.opening = 'unknown'
      },
    ),
  },
  {
    title: 'somebody hears that nobody can know how it opened, and it never did',
    rules: told,
    corrupt: toWait(
      ({ opening }) => opening === 'absent',
      wait => {
        wait.opening = 'unknown'
      },
    ),
  },
  {
    title: 'somebody finds it open while it is closed',
    rules: told,
    corrupt: toClosing(({ from, until }, { use }, random) => {
      const startedAt = integer(random, from + 1, until - 3)
      use.waits.push({ startedAt, endedAt: startedAt + 1, opening: 'absent' })
    }),
  },
  {
    title: 'somebody finds it open all the time it is closed in the end',
    rules: told,
    corrupt: ({ log, use }, random) => {
      const startedAt = log.at(-1)!.at + integer(random, 1, 50)
      use.waits.push({ startedAt, endedAt: startedAt + integer(random, 1, 500), opening: 'absent' })
      return true
    },
  },
  {
    title: 'somebody hears that it opened before it did',
    rules: told,
    corrupt: toClosing((closing, draft, random) => {
      const { from, until } = closing
      const opening = saidIn(closing) ? 'released' : 'abandoned'
      draft.use.waits.push({ startedAt: from, endedAt: integer(random, from + 1, until - 1), opening })
    }),
  },
  {
    title: 'somebody hears that it was released, and its holder had lost it',
    rules: told,
    corrupt: toWait(
      ({ opening }) => opening === 'abandoned',
      (wait, { log }) => {
        const { first, last } = closingsIn(log).find(({ until }) => until >= wait.startedAt)!
        // Also where somebody wrote over it.
        for (const commit of log.slice(log.indexOf(first) + 1, log.indexOf(last))) commit.changes = []
        wait.opening = 'released'
      },
    ),
  },
  {
    title: 'somebody hears that its holder had lost it, and it was released',
    rules: told,
    corrupt: toWait(
      ({ opening, startedAt }, { log }) =>
        opening === 'released' && saidIn(closingsIn(log).find(({ until }) => until >= startedAt)!),
      wait => {
        wait.opening = 'abandoned'
      },
    ),
  },
  {
    title: 'somebody hears that its holder had lost it, and it was held without a session',
    rules: told,
    corrupt: toWait(
      ({ opening, startedAt }, { log }) => {
        if (opening !== 'released') return false
        const [change] = closingsIn(log).find(({ until }) => until >= startedAt)!.first.changes
        return change?.kind === 'put' && change.lease === 0n
      },
      wait => {
        wait.opening = 'abandoned'
      },
    ),
  },
  {
    title: 'it opens without a word that it was released, and somebody hears that',
    rules: told,
    corrupt: toClosing((closing, draft) => {
      if (!saidIn(closing)) return false
      closing.last.changes.pop()
      return draft.use.waits.some(
        ({ startedAt, endedAt, opening }) =>
          opening === 'released' && startedAt <= closing.until && endedAt >= closing.until,
      )
    }),
  },
  {
    title: 'it is closed in the end by somebody who runs and does not know',
    rules: left,
    corrupt: ({ log, use }, random) => {
      const [change] = log.at(-1)!.changes
      if (change?.kind !== 'put') return false
      use.given.pop()
      change.value = madeBy(pick(use.running, random)!)
      return true
    },
  },
  {
    title: 'a hold that was given up is applied in the end, and its process runs',
    rules: left,
    corrupt: ({ log, use }, random) => {
      const revision = BigInt(log.length + 3)
      const value = madeBy(pick(use.running, random)!)
      const at = log.at(-1)!.at + integer(random, 1, 100)
      const again = {
        kind: 'put',
        key: NAME,
        value,
        createRevision: revision,
        version: 1n,
        lease: 7n,
      } as const
      log.push(
        { revision: revision - 1n, at, changes: [{ kind: 'delete', key: NAME }] },
        { revision, at: at + 10, changes: [again] },
      )
      return true
    },
  },
  {
    title: 'one who runs left it closed and was told of another hold',
    rules: left,
    corrupt: ({ use }, random) => {
      use.given.pop()
      use.given.push(BigInt(integer(random, 100, 999)))
      return true
    },
  },
  {
    title: 'it is created anew while it is closed',
    rules: ['barrier-created-anew'],
    corrupt: toClosing((closing, draft) => {
      const { log } = draft
      const index = log.indexOf(closing.first) + 1
      const again = log[index]!
      if (again === closing.last) return false
      const [change] = again.changes
      if (change?.kind === 'put') change.createRevision = again.revision
    }),
  },
  {
    title: 'it opens unseen and is created anew',
    rules: ['barrier-created-anew'],
    corrupt: toClosing((closing, draft) => {
      if (closing === closingsIn(draft.log).at(-1)) return false
      // Whoever waited saw more than the log tells.
      without(draft, closing)
      const next = closingsIn(draft.log).find(({ from }) => from > closing.until)
      if (next === undefined) return false
      without(draft, { ...closing, until: next.until })
      draft.use.waits = draft.use.waits.filter(({ opening }) => opening !== 'unknown')
      closing.last.changes = []
    }),
  },
]

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of barriers',
  good: drawn,
  check: ({ log, use }) => checkBarrier(log, use),
  kinds,
})
