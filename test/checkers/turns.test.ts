import test from 'ava'
import { turnAt } from './openings.ts'
import { checkTurns, type Turn } from './turns.ts'

const calm = { from: 1000, until: 9000, graceMs: 500, withinMs: 100 }
const turn: Turn = { id: 't1', process: 'p1', turnAt: 3000, toldAt: 3050, what: 'let through' }

test('whoever is told in time is told in time, and whoever is told later is found, however late', t => {
  t.deepEqual(checkTurns([turn, { ...turn, toldAt: 3100 }], [], calm), [])
  for (let late = 101; late < 5000; late += 97) {
    const [violation, ...more] = checkTurns([{ ...turn, toldAt: 3000 + late }], [], calm)
    t.is(violation?.rule, 'granted-late', `${late}`)
    t.deepEqual(violation?.involved, ['t1'])
    t.deepEqual(more, [])
  }
})

test('whoever is never told is found, unless its process died before it was late', t => {
  const never = { ...turn, toldAt: Infinity }
  t.is(checkTurns([never], [], calm).length, 1)
  t.is(checkTurns([{ ...never, diedAt: 3101 }], [], calm).length, 1)
  t.deepEqual(checkTurns([{ ...never, diedAt: 3100 }], [], calm), [])
})

test('a gate that is open lets in at once, one that is closed when it opens', t => {
  const open = [
    { from: -Infinity, until: 2000 },
    { from: 4000, until: 6000 },
    { from: 7000, until: Infinity },
  ]
  t.is(turnAt(open, 1600, calm), 1600)
  t.is(turnAt(open, 2000, calm), 4000)
  t.is(turnAt(open, 3900, calm), 4000)
  t.is(turnAt(open, 5000, calm), 5000)
  t.is(turnAt(open, 8000, calm), 8000)
})

test('of whoever came shortly before the gate changed nobody can say how it was found', t => {
  const open = [{ from: 4000, until: 6000 }]
  t.is(turnAt(open, 3901, calm), undefined)
  t.is(turnAt(open, 5901, calm), undefined)
  t.is(turnAt(open, 6000, calm), undefined, 'it never opened again')
})

test('whoever came before all was calm may have looked late', t => {
  t.is(turnAt([{ from: 1400, until: 8000 }], 100, calm), undefined)
  t.is(turnAt([{ from: 1500, until: 8000 }], 100, calm), 1500)
})
