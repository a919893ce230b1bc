import test from 'ava'
import { checkBelief } from './belief-exclusion.ts'
import { acquisition, history, put } from './hand-written.ts'
import { renderTimeline } from './timeline.ts'

const overlap = history({
  log: [[put('l/a', 2n)], [put('l/b', 3n)], [{ kind: 'delete', key: 'l/a' }]],
  acquisitions: [
    acquisition('l/a', 2n, { invokedAt: -5, settledAt: 5, believedUntil: 40, loss: 'LOCK_LOST' }),
    acquisition('l/b', 3n, { invokedAt: 8, settledAt: 25, diedAt: 60 }),
  ],
  stalls: [{ process: 'p9', from: 900, until: 950 }],
})

test('a timeline tells what happened, and who believed by then', t => {
  t.deepEqual(renderTimeline(overlap).split('\n').slice(0, 9), [
    '          -5.0  p2      a2 asks for l/',
    '           0.0  server  revision 2: put l/a=v (created 2, version 1)',
    '           5.0  p2      a2 granted l/a, token 2   [p2 2]',
    '           8.0  p3      a3 asks for l/   [p2 2]',
    '          10.0  server  revision 3: put l/b=v (created 3, version 1)   [p2 2]',
    '          20.0  server  revision 4: delete l/a   [p2 2]',
    '          25.0  p3      a3 granted l/b, token 3   [p2 2, p3 3]',
    '          40.0  p2      a2 LOCK_LOST   [p3 3]',
    '          60.0  p3      a3 died',
  ])
})

test('around a violation it shows that, and marks what it is about', t => {
  const violation = checkBelief(overlap).find(({ rule }) => rule === 'belief-overlap')!
  const lines = renderTimeline(overlap, { around: violation, marginMs: 10 }).split('\n')
  t.is(lines[0], `belief-overlap: ${violation.message}`)
  t.true(lines.some(line => line.startsWith('>') && line.includes('a3 granted')))
  t.true(lines.some(line => line.startsWith(' ') && line.includes('revision 3')))
  t.false(lines.some(line => line.includes('stands still')))
})
