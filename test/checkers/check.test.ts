import test from 'ava'
import { exact } from './assumptions.ts'
import { checkHistory } from './check.ts'
import { goodHistory, NOTICE_MS } from './good-history.ts'
import { renderTimeline } from './timeline.ts'

const assumptions = { ...exact, noticeMs: NOTICE_MS }

test('histories in which every promise was kept raise no alarm', t => {
  const count = Number(process.env.QUORATE_GOOD_HISTORIES ?? 500)
  const seen = { ok: 0, failed: 0, unknown: 0, interventions: 0, stalls: 0, died: 0, resets: 0, lost: 0 }
  for (let seed = 0; seed < count; seed += 1) {
    const history = goodHistory(seed)
    for (const { outcome, diedAt, loss } of history.acquisitions) {
      seen[outcome] += 1
      if (diedAt !== undefined) seen.died += 1
      if (loss !== undefined) seen.lost += 1
    }
    seen.interventions += history.interventions.length
    seen.stalls += history.stalls.length
    seen.resets += history.watches.flatMap(({ told }) => told).filter(({ kind }) => kind === 'reset').length
    const violations = checkHistory(history, assumptions)
    if (violations.length > 0) {
      t.log(renderTimeline(history, { around: violations[0]!, marginMs: 50 }))
      t.fail(`seed ${seed}: ${violations.map(({ rule, message }) => `${rule}: ${message}`).join('\n')}`)
      return
    }
  }
  t.log(seen)
  // A quiet history proves nothing.
  for (const [what, times] of Object.entries(seen)) t.true(times >= count / 10, `${what}: ${times}`)
})
