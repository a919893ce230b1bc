import test from 'ava'
import { type Deep, integer, type Kind, pick, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Counted, checkCounting } from './counting.ts'
import { type Random, seeded } from './good-history.ts'

/** One call after the other, ten apart. */
function calls(...numbers: readonly (bigint | 'unknown' | 'failed')[]): Counted[] {
  return numbers.map((told, index) => ({
    id: `c${index}`,
    process: 'p',
    invokedAt: 10 * index,
    settledAt: 10 * index + 5,
    ...(typeof told === 'bigint' ? { outcome: 'ok' as const, number: told } : { outcome: told }),
  }))
}

function rules(last: bigint, counted: readonly Counted[]): string[] {
  return checkCounting('n', last, counted).map(({ rule }) => rule)
}

test('numbers that are told once, rise and come to the last one are in order', t => {
  t.deepEqual(rules(3n, calls(1n, 'failed', 2n, 3n)), [])
})

test('what is in doubt may have been counted, or not', t => {
  t.deepEqual(rules(2n, calls(1n, 'unknown', 2n)), [])
  t.deepEqual(rules(3n, calls(1n, 'unknown', 3n)), [])
})

interface Facts {
  readonly last: bigint
  readonly calls: readonly Counted[]
}

/** Some count at once, some fail, of some nobody hears; each is counted at some instant between its ends. */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const counts = Array.from({ length: 16 }, (_, index) => {
    const invokedAt = integer(random, 0, 400)
    const settledAt = invokedAt + integer(random, 5, 60)
    const fate = index < 10 ? 'ok' : index < 12 ? 'failed' : 'unknown'
    const isCounted = fate === 'ok' || (fate === 'unknown' && random() < 0.5)
    const at = invokedAt + random() * (settledAt - invokedAt)
    const call = { id: `c${index}`, process: `p${index % 4}`, invokedAt, settledAt }
    return { call, fate, isCounted, at } as const
  }).sort((one, other) => one.at - other.at)
  let last = 0n
  const calls = counts.map(({ call, fate, isCounted }): Counted => {
    if (isCounted) last += 1n
    return fate === 'ok' ? { ...call, outcome: fate, number: last } : { ...call, outcome: fate }
  })
  return { last, calls }
}

type Call = Deep<Counted>

function told(draft: Deep<Facts>): Call[] {
  return draft.calls.filter(({ outcome }) => outcome === 'ok')
}

function doubts(draft: Deep<Facts>): Call[] {
  return draft.calls.filter(({ outcome }) => outcome === 'unknown')
}

/** Two of whom the one had its number before the other began. */
function pairs(draft: Deep<Facts>): (readonly [Call, Call])[] {
  const known = told(draft)
  return known.flatMap(before =>
    known.filter(({ invokedAt }) => invokedAt > before.settledAt).map(after => [before, after] as const),
  )
}

/** Two of whom neither had its number before the other began, and between whom nobody was. */
function neighbours(draft: Deep<Facts>): (readonly [Call, Call])[] {
  const known = told(draft)
  return known.flatMap(one =>
    known
      .filter(
        other =>
          other.number === one.number! + 1n &&
          one.invokedAt <= other.settledAt &&
          other.invokedAt <= one.settledAt,
      )
      .map(other => [one, other] as const),
  )
}

function toPair(
  of: (draft: Deep<Facts>) => (readonly [Call, Call])[],
  change: (before: Call, after: Call, draft: Deep<Facts>, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return (draft, random) =>
    toOne(
      of(draft),
      random,
      () => true,
      ([before, after]) => change(before, after, draft, random),
    )
}

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'two who count at once are told one number',
    rules: ['number-repeated'],
    corrupt: toPair(neighbours, (one, other) => {
      // The later began first, or none after it ended: no order is broken.
      other.invokedAt = one.invokedAt
      other.number = one.number!
    }),
  },
  {
    title: 'the same call is told of twice',
    rules: ['number-repeated'],
    corrupt: (draft, random) => {
      if (doubts(draft).length === 0) return false
      const again = pick(told(draft), random)!
      const one = doubts(draft)[0]!
      Object.assign(one, { ...again, id: one.id })
      // As many as before.
      return BigInt(told(draft).length) <= draft.last
    },
  },
  {
    title: 'a later call is told the number of an earlier one',
    rules: ['number-repeated', 'number-not-rising'],
    corrupt: toPair(pairs, (before, after) => {
      after.number = before.number!
    }),
  },
  {
    title: 'an earlier call is told the number of a later one',
    rules: ['number-repeated', 'number-not-rising'],
    corrupt: toPair(pairs, (before, after) => {
      before.number = after.number!
    }),
  },
  {
    title: 'two calls, one after the other, have each the number of the other',
    rules: ['number-not-rising'],
    corrupt: toPair(pairs, (before, after) => {
      const { number } = before
      before.number = after.number!
      after.number = number!
    }),
  },
  {
    title: 'a call with a larger number was over before one with a smaller began',
    rules: ['number-not-rising'],
    corrupt: toPair(neighbours, (one, other) => {
      other.invokedAt = one.invokedAt - 2
      other.settledAt = one.invokedAt - 1
    }),
  },
  {
    title: 'a call began only when all others were over, and its number is not the largest',
    rules: ['number-not-rising'],
    corrupt: (draft, random) => {
      const highest = told(draft).at(-1)!
      return toOne(
        told(draft),
        random,
        one => one !== highest,
        one => {
          one.invokedAt = integer(random, 1000, 2000)
          one.settledAt = one.invokedAt + 5
        },
      )
    },
  },
  {
    title: 'somebody is told a number beyond the last',
    rules: ['counted-beyond'],
    corrupt: (draft, random) => {
      const highest = told(draft).at(-1)!
      highest.number = draft.last + BigInt(integer(random, 1, 9))
      return true
    },
  },
  {
    title: 'somebody is told a number below the first',
    rules: ['counted-beyond'],
    corrupt: (draft, random) => {
      const [lowest] = told(draft)
      if (lowest!.invokedAt > Math.min(...told(draft).map(({ settledAt }) => settledAt))) return false
      lowest!.number = BigInt(-integer(random, 0, 9))
      return true
    },
  },
  {
    title: 'more is counted than was asked for',
    rules: ['counted-twice'],
    corrupt: (draft, random) => {
      draft.last = BigInt(told(draft).length + doubts(draft).length + integer(random, 1, 9))
      return true
    },
  },
  {
    title: 'what was known to be refused is counted',
    rules: ['counted-twice'],
    corrupt: (draft, random) => {
      for (const one of doubts(draft)) one.outcome = 'failed'
      draft.last = BigInt(told(draft).length + integer(random, 1, 2))
      return told(draft).every(({ number }) => number! <= draft.last)
    },
  },
  {
    title: 'a call is counted whose end says that it was refused',
    rules: ['counted-twice'],
    corrupt: (draft, random) => {
      const { last } = draft
      if (last !== BigInt(told(draft).length + doubts(draft).length)) return false
      return toOne(
        draft.calls,
        random,
        ({ outcome }) => outcome === 'unknown',
        one => {
          one.outcome = 'failed'
        },
      )
    },
  },
  {
    title: 'what somebody was told is lost',
    rules: ['count-lost', 'counted-beyond'],
    corrupt: (draft, random) => {
      draft.last = BigInt(integer(random, 0, told(draft).length - 1))
      return true
    },
  },
]

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of counting',
  good: drawn,
  check: ({ last, calls: counted }) => checkCounting('n', last, counted),
  kinds,
})
