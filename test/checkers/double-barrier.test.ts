import test from 'ava'
import { type Deep, integer, type Kind, tellsBadHistories, toOne } from './bad-histories.ts'
import { checkDoubleBarrier, type DoubleBarrierStay, type DoubleBarrierUse } from './double-barrier.ts'
import { type Random, seeded } from './good-history.ts'
import type { Change, Commit } from './history.ts'

const PARTIES = 3
const ROUNDS = 5

interface Facts {
  readonly log: readonly Commit[]
  readonly stays: readonly DoubleBarrierStay[]
}

/** Rounds that all enter and all leave, but for those that die inside; the last is still open. */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const log: Commit[] = []
  const stays: DoubleBarrierStay[] = []
  let at = 0
  let past = ''
  const commit = (...changes: Change[]) => {
    at += integer(random, 4, 30)
    log.push({ revision: BigInt(log.length + 2), at, changes })
    return at
  }
  for (let generation = 0; generation <= ROUNDS; generation += 1) {
    const keys = Array.from({ length: PARTIES }, (_, index) => member(generation, index))
    const startedAt = keys.map(() => at + integer(random, 0, 3))
    for (const key of keys) commit(put(key))
    // Somebody goes and comes again.
    if (random() < 0.3) {
      commit({ kind: 'delete', key: keys[0]! })
      commit(put(keys[0]!))
    }
    commit(state(generation, 'open', past))
    const enteredAt = at
    const entered = () => ({ generation, at: enteredAt + integer(random, 0, 20) })
    if (generation === ROUNDS) {
      for (const started of startedAt) stays.push({ startedAt: started, entered: entered() })
      break
    }
    // What somebody wrote over has no lease, and is not waited for.
    if (random() < 0.2) commit({ ...put(keys[0]!, 'spoilt'), lease: 0n })
    else commit({ kind: 'delete', key: keys[0]! })
    for (const key of keys.slice(1)) commit({ kind: 'delete', key })
    past += 'p'
    commit(state(generation + 1, 'gathering', past))
    for (const started of startedAt) {
      const stay = { startedAt: started, entered: entered() }
      if (random() < 0.1) stays.push(stay)
      else stays.push({ ...stay, leftAt: at + integer(random, 0, 30) })
    }
  }
  // Nobody heard of him, or he gave up.
  stays.push({ startedAt: integer(random, 0, at) })
  return { log, stays }
}

function member(generation: number, index: number): string {
  return `b/${generation}/m/${index}`
}

function put(key: string, value = ''): Extract<Change, { kind: 'put' }> {
  return { kind: 'put', key, value, createRevision: 2n, version: 1n, lease: 7n }
}

function state(generation: number, phase: string, past: string): Change {
  return put('b/state', JSON.stringify({ generation, phase, past }))
}

type Stay = Deep<DoubleBarrierStay>
type Log = Deep<readonly Commit[]>

function isStateOf(commit: Deep<Commit>, generation: number, phase: 'open' | 'gathering'): boolean {
  const [change] = commit.changes
  return (
    change?.kind === 'put' &&
    change.value.includes(`"generation":${generation},`) &&
    change.value.includes(phase)
  )
}

function openingOf(log: Log, generation: number): Deep<Commit> {
  return log.find(commit => isStateOf(commit, generation, 'open'))!
}

function endOf(log: Log, generation: number): Deep<Commit> {
  return log.find(commit => isStateOf(commit, generation + 1, 'gathering'))!
}

function dropKey(log: Log, key: string): void {
  for (const commit of log) commit.changes = commit.changes.filter(change => change.key !== key)
}

function toStay(
  fits: (stay: Stay, draft: Deep<Facts>) => boolean,
  change: (stay: Stay, draft: Deep<Facts>, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return (draft, random) =>
    toOne(
      draft.stays,
      random,
      stay => fits(stay, draft),
      stay => change(stay, draft, random),
    )
}

const hasEntered = ({ entered }: Stay) => entered !== undefined
const hasLeft = ({ leftAt }: Stay) => leftAt !== undefined
const isInside = (stay: Stay) => stay.entered?.generation === ROUNDS

/** Rounds of which somebody told that they were over. */
function toRound(
  change: (generation: number, draft: Deep<Facts>, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return toStay(hasLeft, ({ entered }, draft, random) => change(entered!.generation, draft, random))
}

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'a round opens to one too few',
    rules: ['opened-without-all'],
    corrupt: toRound((generation, { log }, random) =>
      dropKey(log, member(generation, integer(random, 0, PARTIES - 1))),
    ),
  },
  {
    title: 'a round opens to one alone',
    rules: ['opened-without-all'],
    corrupt: toRound((generation, { log }, random) => {
      const stays = integer(random, 0, PARTIES - 1)
      for (let index = 0; index < PARTIES; index += 1)
        if (index !== stays) dropKey(log, member(generation, index))
    }),
  },
  {
    title: 'one party had gone before the last came',
    rules: ['opened-without-all'],
    corrupt: toRound((generation, { log }) => {
      const key = member(generation, 0)
      dropKey(log, key)
      const last = log.findIndex(({ changes }) => changes.some(one => one.key === member(generation, 1)))
      log[last]!.changes.unshift(put(key), { kind: 'delete', key })
    }),
  },
  {
    title: 'a round that is not over is opened, and the last comes after that',
    rules: ['opened-without-all'],
    corrupt: toRound((generation, { log }) => {
      const key = member(generation, PARTIES - 1)
      const came = log.find(({ changes }) => changes.some(one => one.kind === 'put' && one.key === key))!
      const [change] = came.changes.splice(
        came.changes.findIndex(one => one.key === key),
        1,
      )
      log[log.indexOf(openingOf(log, generation)) + 1]!.changes.unshift(change!)
    }),
  },
  {
    title: 'a round is over with somebody still inside',
    rules: ['closed-with-some-inside'],
    corrupt: toRound((generation, { log }, random) => {
      const key = member(generation, integer(random, 1, PARTIES - 1))
      for (const commit of log)
        commit.changes = commit.changes.filter(one => one.key !== key || one.kind === 'put')
    }),
  },
  {
    title: 'a round is over, and then the last leaves',
    rules: ['closed-with-some-inside'],
    corrupt: toRound((generation, { log }, random) => {
      const key = member(generation, integer(random, 1, PARTIES - 1))
      for (const commit of log)
        commit.changes = commit.changes.filter(one => one.key !== key || one.kind === 'put')
      log[log.indexOf(endOf(log, generation)) + 1]!.changes.push({ kind: 'delete', key })
    }),
  },
  {
    title: 'a round is over, and nobody has left',
    rules: ['closed-with-some-inside'],
    corrupt: toRound((generation, { log }) => {
      for (const commit of log)
        commit.changes = commit.changes.filter(
          one => one.kind === 'put' || !one.key.startsWith(`b/${generation}/m/`),
        )
    }),
  },
  {
    title: 'a round is over that never was open, and some entered it',
    rules: ['closed-unopened', 'entered-out-of-time'],
    corrupt: toRound((generation, { log }) => {
      openingOf(log, generation).changes = []
    }),
  },
  {
    title: 'a round is over that never was open, and nobody entered it',
    rules: ['closed-unopened'],
    corrupt: toRound((generation, draft) => {
      openingOf(draft.log, generation).changes = []
      draft.stays = draft.stays.filter(({ entered }) => entered?.generation !== generation)
    }),
  },
  {
    title: 'somebody enters before it opens',
    rules: ['entered-out-of-time'],
    corrupt: toStay(hasEntered, (stay, { log }, random) => {
      stay.entered!.at = openingOf(log, stay.entered!.generation).at - integer(random, 1, 20)
    }),
  },
  {
    title: 'somebody enters a round that had opened before he came',
    rules: ['entered-out-of-time'],
    corrupt: toStay(isInside, (stay, { log }, random) => {
      stay.startedAt = openingOf(log, ROUNDS).at + integer(random, 1, 20)
      stay.entered!.at = stay.startedAt + 5
    }),
  },
  {
    title: 'somebody enters a round that does not open',
    rules: ['entered-out-of-time'],
    corrupt: toStay(isInside, (stay, _, random) => {
      stay.entered!.generation += integer(random, 1, 5)
    }),
  },
  {
    title: 'somebody is let go before all have left',
    rules: ['left-before-end'],
    corrupt: toStay(hasLeft, (stay, { log }, random) => {
      stay.leftAt = endOf(log, stay.entered!.generation).at - integer(random, 1, 20)
    }),
  },
  {
    title: 'somebody is let go from a round that is not over',
    rules: ['left-before-end'],
    corrupt: toStay(isInside, (stay, _, random) => {
      stay.leftAt = stay.entered!.at + integer(random, 1, 500)
    }),
  },
  {
    title: 'one too many enters',
    rules: ['barrier-overfull'],
    corrupt: toStay(hasEntered, (stay, draft) => {
      draft.stays.push({ ...stay, entered: stay.entered! })
    }),
  },
]

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of double barriers',
  good: drawn,
  check: ({ log, stays }) => checkDoubleBarrier(log, use(stays)),
  kinds,
})

test('a commit may be dated later than it was made', t => {
  const { log, stays } = drawn(1)
  const early = stays.map(stay => (stay.leftAt === undefined ? stay : { ...stay, leftAt: stay.leftAt - 40 }))
  t.not(checkDoubleBarrier(log, use(early)).length, 0)
  t.deepEqual(checkDoubleBarrier(log, { ...use(early), recorderLagMs: 40 }), [])
})

function use(stays: readonly DoubleBarrierStay[]): DoubleBarrierUse {
  return { name: 'b', parties: PARTIES, stays, recorderLagMs: 0 }
}
