import test from 'ava'
import { history, put } from './hand-written.ts'
import { checkObserver, type Head } from './observers.ts'

const { log } = history({
  log: [
    [put('l/a', 2n)],
    [put('l/b', 3n)],
    [put('m/a', 4n)],
    [{ kind: 'put', key: 'l/a', value: 'again', createRevision: 2n, version: 2n, lease: 1n }],
    [{ kind: 'delete', key: 'l/a' }],
    [{ kind: 'delete', key: 'l/b' }],
    [put('l/c', 8n)],
  ],
  times: [1, 2, 3, 4, 5, 6, 7],
})
const head = (createRevision: bigint, modRevision = createRevision): Head => ({ createRevision, modRevision })
const all = [undefined, head(2n), head(2n, 5n), head(3n), undefined, head(8n)]

function told(...heads: readonly (Head | undefined)[]): string | undefined {
  return checkObserver(log, { line: 'l/', told: heads })
}

test('whoever is told all that happened from some point on is told the truth', t => {
  for (let from = 0; from <= all.length; from++)
    for (let to = from; to <= all.length; to++)
      t.is(told(...all.slice(from, to)), undefined, `${from} to ${to}`)
})

test('whatever is left out in the middle is missed', t => {
  for (let from = 0; from < all.length; from++)
    for (let to = from + 3; to <= all.length; to++)
      for (let out = from + 1; out < to - 1; out++) {
        const some = all.filter((_, index) => index >= from && index < to && index !== out)
        t.not(told(...some), undefined, `${from} to ${to} without ${out}`)
      }
})

test('whatever is told twice, in another order, or never happened, is told', t => {
  for (const [index, one] of all.entries()) {
    t.not(told(...all.slice(0, index + 1), one), undefined, `${index} twice`)
    if (index > 0)
      t.not(told(...all.slice(0, index - 1), one, all[index - 1]), undefined, `${index} before its time`)
  }
  t.not(told(head(4n)), undefined, 'the leader of another line')
  t.not(told(head(3n), head(8n)), undefined, 'no vacancy between')
  t.not(told(head(2n, 3n)), undefined, 'a proclamation that was none')
  t.not(told(...all, undefined), undefined, 'a vacancy at the end')
})

test('whoever is owed more than it was told has missed the end', t => {
  const owed = (owedUntil: bigint, ...heads: readonly (Head | undefined)[]) =>
    checkObserver(log, { line: 'l/', told: heads, owedUntil })
  for (let from = 0; from < all.length; from++)
    for (let to = from + 1; to <= all.length; to++) {
      const some = all.slice(from, to)
      // One who saw vacancies only may have seen the last of them.
      if (some.every(one => one === undefined)) continue
      // Each of them began with one of these revisions.
      for (const [index, since] of [1n, 2n, 5n, 6n, 7n, 8n].entries())
        t.is(owed(since, ...some) === undefined, index < to, `${from} to ${to}, owed until ${since}`)
    }
  t.regex(owed(8n) ?? '', /leader of 8/)
  t.is(owed(0n), undefined)
  t.is(owed(7n, undefined), undefined)
  t.regex(owed(8n, undefined) ?? '', /leader of 8/)
})
