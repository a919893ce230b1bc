import test from 'ava'
import { type Counted, checkCounting } from './counting.ts'

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

test('a number told twice is found', t => {
  const [one, two] = calls(1n, 1n)
  t.deepEqual(rules(2n, [one!, { ...two!, invokedAt: 0 }]), ['number-repeated'])
})

test('a smaller number after a larger one is found', t => {
  t.deepEqual(rules(2n, calls(2n, 1n)), ['number-not-rising'])
})

test('what is counted twice, and what is lost, is found', t => {
  t.deepEqual(rules(3n, calls(1n, 3n)), ['counted-twice'])
  t.deepEqual(rules(4n, calls(1n, 'unknown', 4n)), ['counted-twice'])
  t.deepEqual(rules(1n, calls(1n, 2n)), ['counted-beyond', 'count-lost'])
})
