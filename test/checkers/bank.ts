import type { Bank } from '../support/bank.ts'
import type { Commit, Violation } from './history.ts'

/** Whatever is transferred, as much is in the bank after every commit as there was before. */
export function checkBank(log: readonly Commit[], bank: Bank): Violation[] {
  const values = new Map<string, string>()
  for (const { revision, changes } of log) {
    const moves = changes.filter(({ key }) => key.startsWith(bank.prefix))
    for (const move of moves)
      if (move.kind === 'put') values.set(move.key, move.value)
      else values.delete(move.key)
    const sum = bank.sumOf(values)
    if (moves.length === 0 || sum === bank.total) continue
    const message = `After revision ${revision} there was ${sum} in ${bank.prefix}, not ${bank.total}.`
    return [{ rule: 'bank-not-balanced', message, involved: [`revision ${revision}`] }]
  }
  return []
}
