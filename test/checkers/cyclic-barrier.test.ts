import test from 'ava'
import { type Deep, integer, type Kind, tellsBadHistories, toOne } from './bad-histories.ts'
import { type CyclicBarrierUse, type CyclicWait, checkCyclicBarrier } from './cyclic-barrier.ts'
import { type Random, seeded } from './good-history.ts'
import type { Change, Commit } from './history.ts'

const PARTIES = 3
const ROUNDS = 8

interface Facts {
  readonly log: readonly Commit[]
  readonly waits: readonly CyclicWait[]
}

/** Rounds that are passed and rounds that break and are begun anew, by parties that come at any time before. */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const log: Commit[] = []
  const waits: CyclicWait[] = []
  let at = 0
  let past = ''
  const commit = (...changes: Change[]) => {
    at += integer(random, 4, 30)
    log.push({ revision: BigInt(log.length + 2), at, changes })
    return at
  }
  for (let generation = 0; generation < ROUNDS; generation += 1) {
    const isPassed = generation === 1 || (generation !== 2 && random() < 0.6)
    const parties = isPassed ? PARTIES : integer(random, 1, PARTIES - 1)
    const comings = Array.from({ length: parties }, (_, index) => ({
      index,
      startedAt: at + integer(random, 0, 3),
      key: member(generation, index),
    }))
    for (const { key } of comings) commit(put(key))
    // Somebody goes and comes again.
    if (random() < 0.3) {
      const { key } = comings[0]!
      commit({ kind: 'delete', key })
      commit(put(key))
    }
    if (isPassed) {
      past += 'p'
      commit(state(generation + 1, 'gathering', past))
    } else {
      commit(state(generation, 'broken', past))
    }
    for (const { index, startedAt } of comings) {
      const wait = { startedAt, endedAt: at + integer(random, 0, 40) }
      // Some die, some give up in the very instant.
      if (random() < 0.1) waits.push({ startedAt })
      else waits.push(isPassed ? { ...wait, passed: { generation, index } } : { ...wait, broken: true })
    }
    if (isPassed) continue
    past += 'b'
    commit(state(generation + 1, 'gathering', past))
  }
  // Of the last round nothing has become.
  waits.push({ startedAt: at, endedAt: at + 50 })
  commit(put(member(ROUNDS, 0)))
  return { log, waits }
}

function member(generation: number, index: number): string {
  return `b/${generation}/m/${index}`
}

function put(key: string, value = ''): Change {
  return { kind: 'put', key, value, createRevision: 2n, version: 1n, lease: 7n }
}

function state(generation: number, phase: string, past: string): Change {
  return put('b/state', JSON.stringify({ generation, phase, past }))
}

type Wait = Deep<CyclicWait>
type Log = Deep<readonly Commit[]>

/** The commit in which the round ended, or broke. */
function endOf(log: Log, generation: number): Deep<Commit> {
  return log.find(({ changes: [change] }) => {
    if (change?.key !== 'b/state' || change.kind !== 'put') return false
    const now = JSON.parse(change.value) as { generation: number; phase: string }
    return now.generation > generation || (now.generation === generation && now.phase === 'broken')
  })!
}

function toWait(
  fits: (wait: Wait) => boolean,
  change: (wait: Wait, draft: Deep<Facts>, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return (draft, random) => toOne(draft.waits, random, fits, wait => change(wait, draft, random))
}

const hasPassed = ({ passed }: Wait) => passed !== undefined
const hasBroken = ({ broken }: Wait) => broken === true

/** Passed rounds, by somebody who lived to tell. */
function toRound(
  change: (generation: number, draft: Deep<Facts>, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return toWait(hasPassed, ({ passed }, draft, random) => change(passed!.generation, draft, random))
}

function dropKey(log: Log, key: string): void {
  for (const commit of log) commit.changes = commit.changes.filter(change => change.key !== key)
}

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'a round is passed by one too few',
    rules: ['passed-without-all'],
    corrupt: toRound((generation, { log }, random) =>
      dropKey(log, member(generation, integer(random, 0, PARTIES - 1))),
    ),
  },
  {
    title: 'a round is passed by one alone',
    rules: ['passed-without-all'],
    corrupt: toRound((generation, { log }, random) => {
      const stays = integer(random, 0, PARTIES - 1)
      for (let index = 0; index < PARTIES; index += 1)
        if (index !== stays) dropKey(log, member(generation, index))
    }),
  },
  {
    title: 'one party had gone before the last came',
    rules: ['passed-without-all'],
    corrupt: toRound((generation, { log }) => {
      const key = member(generation, 0)
      dropKey(log, key)
      const last = log.findIndex(({ changes }) => changes.some(one => one.key === member(generation, 1)))
      log[last]!.changes.unshift(put(key), { kind: 'delete', key })
    }),
  },
  {
    title: 'a round that was broken is taken for one that was passed',
    rules: ['passed-without-all'],
    corrupt: (draft, random) => {
      const broken = draft.log.flatMap(({ changes: [change] }) =>
        change?.kind === 'put' && change.key === 'b/state' && change.value.endsWith('b"}') ? [change] : [],
      )
      return toOne(
        broken,
        random,
        ({ value }) => value.includes('gathering'),
        change => {
          change.value = change.value.replace('b"}', 'p"}')
        },
      )
    },
  },
  {
    title: 'one too many comes',
    rules: ['barrier-overfull'],
    corrupt: toRound((generation, { log }, random) => {
      const end = log.indexOf(endOf(log, generation))
      log[end - integer(random, 1, 2)]!.changes.push(put(member(generation, PARTIES)))
    }),
  },
  {
    title: 'one too many passes',
    rules: ['barrier-overfull'],
    corrupt: (draft, random) => {
      const { waits } = draft
      return toOne(
        waits,
        random,
        wait =>
          hasPassed(wait) &&
          waits.filter(({ passed }) => passed?.generation === wait.passed!.generation).length === PARTIES,
        wait => waits.push({ ...wait, passed: { ...wait.passed!, index: PARTIES } }),
      )
    },
  },
  {
    title: 'an index is given twice',
    rules: ['barrier-index-repeated'],
    corrupt: (draft, random) => {
      const { waits } = draft
      return toOne(waits, random, hasPassed, wait => {
        const other = waits.find(one => one !== wait && one.passed?.generation === wait.passed!.generation)
        if (other === undefined) waits.push({ ...wait, startedAt: wait.startedAt + 1, passed: wait.passed! })
        else other.passed!.index = wait.passed!.index
      })
    },
  },
  {
    title: 'somebody passes in a round that was broken',
    rules: ['passed-unpassed'],
    corrupt: toWait(hasBroken, (wait, { log }) => {
      const generation = Array.from({ length: ROUNDS }, (_, each) => each).find(
        each => endOf(log, each).at >= wait.startedAt,
      )!
      // It hears when the round is begun anew, so that only what became of it is wrong.
      const begun = log[log.indexOf(endOf(log, generation)) + 1]!
      delete wait.broken
      Object.assign(wait, { endedAt: begun.at + 5, passed: { generation, index: 0 } })
    }),
  },
  {
    title: 'somebody passes in a round that has not ended',
    rules: ['passed-unpassed'],
    corrupt: (draft, random) => {
      const last = draft.waits.at(-1)!
      last.passed = { generation: ROUNDS + integer(random, 0, 3), index: 0 }
      return true
    },
  },
  {
    title: 'somebody passes before the round has ended',
    rules: ['passed-out-of-time'],
    corrupt: toWait(hasPassed, (wait, { log }, random) => {
      wait.endedAt = endOf(log, wait.passed!.generation).at - integer(random, 1, 10)
    }),
  },
  {
    title: 'somebody passes in a round that had ended before it came',
    rules: ['passed-out-of-time'],
    corrupt: toWait(hasPassed, (wait, { log }, random) => {
      wait.startedAt = endOf(log, wait.passed!.generation).at + integer(random, 1, 10)
      wait.endedAt = wait.startedAt + 20
    }),
  },
  {
    title: 'somebody is told of another round than that in which it passed',
    rules: ['passed-out-of-time', 'barrier-index-repeated'],
    corrupt: (draft, random) => {
      const { waits } = draft
      const rounds = new Set(waits.flatMap(({ passed }) => (passed ? [passed.generation] : [])))
      return toOne(
        waits,
        random,
        ({ passed }) =>
          passed !== undefined &&
          waits.some(
            one => one.passed?.generation === passed.generation + 1 && one.passed.index === passed.index,
          ) &&
          waits.filter(one => one.passed?.generation === passed.generation + 1).length < PARTIES &&
          rounds.has(passed.generation + 1),
        wait => {
          wait.passed!.generation += 1
        },
      )
    },
  },
  {
    title: 'somebody hears that it was broken before it ever was',
    rules: ['broken-unbroken'],
    corrupt: (draft, random) => {
      const first = draft.waits.find(({ startedAt }) => startedAt < 4)!
      delete first.passed
      delete first.broken
      return Object.assign(first, { broken: true, endedAt: integer(random, 1, 3) }) !== undefined
    },
  },
  {
    title: 'somebody hears that it was broken, and it never was',
    rules: ['broken-unbroken'],
    corrupt: (draft, random) => {
      const { log } = draft
      const index = log.findIndex(({ changes: [one] }) => one?.kind === 'put' && one.value.includes('broken'))
      const ended = log.slice(0, index).filter(({ changes: [one] }) => one?.key === 'b/state').length
      draft.log = log.slice(0, index)
      draft.waits = draft.waits.filter(({ passed }) => passed !== undefined && passed.generation < ended)
      draft.waits.push({ startedAt: 1, endedAt: integer(random, 100, 900), broken: true })
      return index !== -1
    },
  },
  {
    title: 'somebody hears that it was broken who came when all had begun anew',
    rules: ['broken-unbroken'],
    corrupt: toWait(hasBroken, (wait, { log }) => {
      const end = log.findIndex(({ at }) => at >= wait.startedAt && at <= wait.endedAt!)
      const begun = log.findIndex(
        ({ changes: [one] }, index) =>
          index > end && one?.kind === 'put' && one.value.includes('gathering') && one.value.endsWith('b"}'),
      )
      wait.startedAt = log[begun]!.at + 1
      wait.endedAt = wait.startedAt + 2
    }),
  },
]

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of cyclic barriers',
  good: drawn,
  check: ({ log, waits }) => checkCyclicBarrier(log, use(waits)),
  kinds,
})

test('a commit may be dated later than it was made, and indexes may be forgotten', t => {
  const { log, waits } = drawn(1)
  const early = waits.map(wait => ({ ...wait, endedAt: (wait.endedAt ?? 1e6) - 40 }))
  t.not(checkCyclicBarrier(log, use(early)).length, 0)
  t.deepEqual(checkCyclicBarrier(log, { ...use(early), recorderLagMs: 80 }), [])
  const same = waits.map(wait =>
    wait.passed === undefined ? wait : { ...wait, passed: { ...wait.passed, index: 0 } },
  )
  t.not(checkCyclicBarrier(log, use(same)).length, 0)
  t.deepEqual(checkCyclicBarrier(log, { ...use(same), indexesAreKnown: false }), [])
})

function use(waits: readonly CyclicWait[]): CyclicBarrierUse {
  return { name: 'b', parties: PARTIES, waits, recorderLagMs: 0, indexesAreKnown: true }
}
