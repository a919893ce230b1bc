import type { Assumptions } from './assumptions.ts'
import { grouped } from './grouped.ts'
import type { Acquisition, History, Violation } from './history.ts'

/**
 * Every grant of a line brings a token above those of all grants before it, and no token comes twice. Before
 * means that the one call had ended when the other began, whoever made them. What was left with a lease is had again
 * under its old token, by whoever goes on with the lease.
 */
export function checkTokens(history: History, _assumptions?: Assumptions): Violation[] {
  const violations: Violation[] = []
  for (const granted of grantsByLine(history).values()) {
    const invoked = granted.toSorted((one, other) => one.invokedAt - other.invokedAt)
    const settled = granted.toSorted((one, other) => one.settledAt - other.settledAt)
    const first = new Map<bigint, Acquisition>()
    let highest: Acquisition | undefined
    let ended = 0
    for (const acquisition of invoked) {
      if (acquisition.resumes !== undefined) {
        violations.push(...taken(acquisition, granted))
        continue
      }
      for (; ended < settled.length && settled[ended]!.settledAt < acquisition.invokedAt; ended += 1) {
        if (highest === undefined || settled[ended]!.token! > highest.token!) highest = settled[ended]
      }
      const { id, process, line, token } = acquisition
      const same = first.get(token!)
      if (same !== undefined) {
        violations.push({
          rule: 'token-repeated',
          message: `${process} was granted ${line} with token ${token}, which ${same.process} had been given.`,
          involved: [same.id, id],
        })
        continue
      }
      first.set(token!, acquisition)
      if (highest === undefined || token! > highest.token!) continue
      violations.push({
        rule: 'token-not-rising',
        message: `${process} was granted ${line} with token ${token} after ${highest.process} had been given ${highest.token}.`,
        involved: [highest.id, id],
      })
    }
  }
  return violations
}

/** What is had again is what was had before, by the same process, or by nobody. */
function taken(again: Acquisition, granted: readonly Acquisition[]): Violation[] {
  const { id, process, line, token, key, resumes } = again
  const isFirst = granted.every(
    one => one === again || one.token !== token || one.invokedAt > again.settledAt,
  )
  if (resumes === id && isFirst) return []
  const before = resumes === id ? undefined : granted.find(one => one.id === resumes)
  if (before?.process === process && before.token === token && before.key === key) return []
  return [
    {
      rule: 'token-resumed-wrongly',
      message: `${process} was granted ${line} with token ${token} again, which it had not been given before.`,
      involved: [id, resumes!],
    },
  ]
}

/** Grants that say their token, line by line, as the history has them. */
export function grantsByLine({ acquisitions }: History): ReadonlyMap<string, readonly Acquisition[]> {
  return grouped(
    acquisitions.filter(({ outcome, token }) => outcome === 'ok' && token !== undefined),
    ({ line }) => line,
  )
}
