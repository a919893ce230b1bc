import type { Outcome, Violation } from './history.ts'

/** One call that counts one further, and is told the number it came to. */
export interface Counted {
  readonly id: string
  readonly process: string
  readonly invokedAt: number
  readonly settledAt: number
  readonly outcome: Outcome
  /** When `ok`. */
  readonly number?: bigint
}

/**
 * Whoever is told a number is the only one, later calls are told larger ones, and what is counted in the end is
 * what was known to be and no more than what may have been: exactly that, where nothing is unknown.
 */
export function checkCounting(name: string, last: bigint, calls: readonly Counted[]): Violation[] {
  const known = calls.filter(({ outcome }) => outcome === 'ok')
  const unknown = calls.filter(({ outcome }) => outcome === 'unknown').length
  const violations: Violation[] = [...repeated(name, known), ...notRising(name, known)]
  for (const { id, number } of known)
    if (number === undefined || number < 1n || number > last)
      violations.push({
        rule: 'counted-beyond',
        message: `${name}: ${id} was told ${number}, and in the end it is ${last}.`,
        involved: [id],
      })
  const facts = `${name}: in the end it is ${last}, with ${known.length} counted and ${unknown} in doubt.`
  if (last < BigInt(known.length)) violations.push({ rule: 'count-lost', message: facts, involved: [] })
  if (last > BigInt(known.length + unknown))
    violations.push({ rule: 'counted-twice', message: facts, involved: [] })
  return violations
}

function repeated(name: string, known: readonly Counted[]): Violation[] {
  const first = new Map<bigint | undefined, Counted>()
  return known.flatMap(one => {
    const same = first.get(one.number)
    first.set(one.number, one)
    if (same === undefined) return []
    const message = `${name}: ${one.process} and ${same.process} were both told ${one.number}.`
    return [{ rule: 'number-repeated', message, involved: [same.id, one.id] }]
  })
}

function notRising(name: string, known: readonly Counted[]): Violation[] {
  const violations: Violation[] = []
  const ended = known.toSorted((one, other) => one.settledAt - other.settledAt)
  let highest: Counted | undefined
  let next = 0
  for (const one of known.toSorted((a, b) => a.invokedAt - b.invokedAt)) {
    for (; next < ended.length && ended[next]!.settledAt < one.invokedAt; next += 1)
      if (highest === undefined || ended[next]!.number! > highest.number!) highest = ended[next]
    if (highest === undefined || one.number! > highest.number!) continue
    violations.push({
      rule: 'number-not-rising',
      message: `${name}: ${one.process} was told ${one.number} after ${highest.process} had been told ${highest.number}.`,
      involved: [highest.id, one.id],
    })
  }
  return violations
}
