import test from 'ava'
import { pick, rulesOf } from './bad-histories.ts'
import {
  type Corruption,
  type Draft,
  type Grant,
  grantRules,
  grantsOf,
  lineOf,
  tellsCorruptions,
} from './corrupt.ts'
import type { Random } from './good-history.ts'
import { acquisition, history } from './hand-written.ts'
import { checkTokens } from './tokens.ts'

const repeated = { rules: ['token-repeated'], also: grantRules }
const falling = { rules: ['token-not-rising'], also: grantRules }

/** A grant, and one of the same line that had been told before it was asked for. */
function laterAndBefore(draft: Draft, random: Random): { later: Grant; before: Grant } | undefined {
  const pairs = grantsOf(draft).flatMap(later =>
    lineOf(draft, later.line)
      .filter(before => before.settledAt < later.invokedAt)
      .map(before => ({ later, before })),
  )
  return pick(pairs, random)
}

function setToken(of: (before: Grant, later: Grant) => bigint): Corruption['corrupt'] {
  return (draft, random) => {
    const pair = laterAndBefore(draft, random)
    if (pair === undefined) return false
    const token = of(pair.before, pair.later)
    const line = lineOf(draft, pair.later.line)
    // Only tokens nobody else has, and no call that would come before this one.
    if (token !== pair.before.token && line.some(other => other.token === token)) return false
    pair.later.token = token
    return true
  }
}

function again(change: (copy: Grant, grant: Grant) => void): Corruption['corrupt'] {
  return (draft, random) => {
    const grant = pick(grantsOf(draft), random)!
    const copy = { ...grant, id: 'again' }
    change(copy, grant)
    draft.acquisitions.push(copy)
    return true
  }
}

const corruptions: readonly Corruption[] = [
  { title: 'somebody gets the token of one before', ...repeated, corrupt: setToken(before => before.token) },
  {
    title: 'the neighbour in the line gets the same token',
    ...repeated,
    corrupt(draft, random) {
      const line = lineOf(draft, pick(grantsOf(draft), random)!.line)
      if (line.length < 2) return false
      line.at(-1)!.token = line.at(-2)!.token
      return true
    },
  },
  {
    title: 'one process gets its own token again',
    ...repeated,
    corrupt: again(copy => {
      copy.invokedAt += 2000
      copy.settledAt += 2000
    }),
  },
  {
    title: 'another process gets a token again',
    ...repeated,
    corrupt: again(copy => {
      copy.process = 'somebody'
      copy.invokedAt += 2000
      copy.settledAt += 2000
    }),
  },
  { title: 'two calls of one instant get one token', ...repeated, corrupt: again(() => {}) },
  {
    title: 'another key brings the same token',
    ...repeated,
    corrupt: again(copy => {
      copy.key += '1'
    }),
  },
  {
    title: 'a token is one below that of one before',
    ...falling,
    corrupt: setToken(before => before.token - 1n),
  },
  { title: 'a token is zero', ...falling, corrupt: setToken(() => 0n) },
  { title: 'a token is one', ...falling, corrupt: setToken(() => 1n) },
  { title: 'a token is negative', ...falling, corrupt: setToken((_, later) => -later.token) },
  { title: 'a token is half of one before', ...falling, corrupt: setToken(before => before.token / 2n) },
  {
    title: 'two that followed each other exchange their tokens',
    rules: ['token-not-rising'],
    also: grantRules,
    corrupt(draft, random) {
      const pair = laterAndBefore(draft, random)
      if (pair === undefined) return false
      const { later, before } = pair
      ;[later.token, before.token] = [before.token, later.token]
      return true
    },
  },
  {
    title: 'the first token of a line is above all that follow',
    ...falling,
    corrupt(draft, random) {
      const [first, ...others] = lineOf(draft, pick(grantsOf(draft), random)!.line)
      if (!others.some(({ invokedAt }) => invokedAt > first!.settledAt)) return false
      first!.token = 2n ** 60n
      return true
    },
  },
]

tellsCorruptions('the checker of tokens', checkTokens, corruptions)

test('tokens of calls that overlapped may come in any order', t => {
  const together = history({
    acquisitions: [acquisition('l/b', 3n), acquisition('l/a', 2n, { settledAt: 100 })],
  })
  t.deepEqual(checkTokens(together), [])
})

test('each line counts by itself', t => {
  const lines = history({
    acquisitions: [
      acquisition('l/a', 9n),
      acquisition('m/a', 9n, { line: 'm/', id: 'm', invokedAt: 200, settledAt: 300 }),
      acquisition('m/a', 8n, { line: 'n/', id: 'n', invokedAt: 400, settledAt: 500 }),
    ],
  })
  t.deepEqual(checkTokens(lines), [])
})

test('attempts that were not granted have no token to compare', t => {
  const failed = history({
    acquisitions: [
      acquisition('l/a', 9n),
      acquisition('l/a', 8n, { outcome: 'failed', invokedAt: 200, settledAt: 300 }),
    ],
  })
  t.deepEqual(checkTokens(failed), [])
})

test('tokens beyond the safe integers are compared exactly', t => {
  const big = 2n ** 53n
  const close = history({
    acquisitions: [acquisition('l/a', big + 1n), acquisition('l/b', big, { invokedAt: 200, settledAt: 300 })],
  })
  t.deepEqual(rulesOf(checkTokens(close)), ['token-not-rising'])
})

test('what was left with a lease is had again under its token, by the same process', t => {
  const before = acquisition('l/a', 9n, { id: 'a', process: 'p' })
  const between = acquisition('l/b', 12n, { id: 'b', process: 'q', invokedAt: 150, settledAt: 180 })
  const again = acquisition('l/a', 9n, {
    id: 'again',
    process: 'p',
    invokedAt: 200,
    settledAt: 300,
    resumes: 'a',
  })
  t.deepEqual(checkTokens(history({ acquisitions: [before, between, again] })), [])
  for (const wrong of [
    { resumes: 'b' },
    { resumes: 'c' },
    { process: 'q' },
    { token: 10n },
    { key: 'l/c' },
  ]) {
    const told = checkTokens(history({ acquisitions: [before, between, { ...again, ...wrong }] }))
    t.deepEqual(rulesOf(told), ['token-resumed-wrongly'], Object.keys(wrong)[0]!)
  }
  const unheard = { ...again, resumes: 'again' }
  t.deepEqual(checkTokens(history({ acquisitions: [between, unheard] })), [], 'nobody had it before')
  t.deepEqual(rulesOf(checkTokens(history({ acquisitions: [before, unheard] }))), ['token-resumed-wrongly'])
})
