import test from 'ava'
import { endOf, type Round } from '../../recipes/internal/barrier/rounds.ts'

test('the round under way is pending while it gathers, passed once open, and broken once broken', t => {
  t.is(endOf(3, at(3, 'gathering')), 'pending')
  t.is(endOf(3, at(3, 'open')), 'passed')
  t.is(endOf(3, at(3, 'broken')), 'broken')
})

test('how rounds ended is known as far back as is written down', t => {
  const now = { ...at(40, 'gathering'), past: `${'b'.repeat(30)}pb` }
  t.is(endOf(39, now), 'broken')
  t.is(endOf(38, now), 'passed')
  t.is(endOf(8, now), 'broken')
  t.is(endOf(7, now), 'unknown')
})

test('a round that has not been yet, as after somebody deleted the key, is unknown', t => {
  t.is(endOf(3, { ...at(0, 'gathering'), past: '' }), 'unknown')
  t.is(endOf(3, { ...at(2, 'gathering'), past: 'pp' }), 'unknown')
})

function at(generation: number, phase: Round['phase']): Round {
  return { generation, phase, past: 'p'.repeat(generation), modRevision: 9n }
}
