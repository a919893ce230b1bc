import test from 'ava'
import { type Deep, integer, type Kind, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import type { Stall } from './history.ts'
import { turnAt } from './openings.ts'
import { checkTurns, type Turn } from './turns.ts'

const calm = { from: 1000, until: 9000, graceMs: 500, withinMs: 100 }
const turn: Turn = { id: 't1', process: 'p1', turnAt: 3000, toldAt: 3050, what: 'let through' }

test('whoever is told in time is told in time', t => {
  t.deepEqual(checkTurns([turn, { ...turn, toldAt: 3100 }], [], calm), [])
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

interface Facts {
  readonly turns: readonly Turn[]
  readonly stalls: readonly Stall[]
}

type Fate = 'in time' | 'stood still' | 'before the calm' | 'after the calm' | 'died'

const FATES: readonly Fate[] = ['in time', 'stood still', 'before the calm', 'after the calm', 'died']

/** Turns of every kind: told in time, or late for a reason. */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const stalls: Stall[] = []
  const turns = Array.from({ length: 15 }, (_, index): Turn => {
    const fate = FATES[index % FATES.length]!
    const process = `p${index}`
    const turnAt = integer(random, 2000, 8000)
    const one = {
      id: `${fate} ${index}`,
      process,
      turnAt,
      toldAt: turnAt + integer(random, 0, 100),
      what: 'granted',
    }
    const late = turnAt + integer(random, 500, 3000)
    if (fate === 'before the calm') {
      const early = integer(random, 100, 1499)
      return { ...one, turnAt: early, toldAt: early + integer(random, 101, 3000) }
    }
    if (fate === 'after the calm') {
      const end = integer(random, 8901, 9500)
      return { ...one, turnAt: end, toldAt: end + integer(random, 101, 3000) }
    }
    if (fate === 'died') return { ...one, toldAt: Infinity, diedAt: turnAt + integer(random, 0, 100) }
    if (fate === 'stood still') {
      const from = turnAt - integer(random, 0, 400)
      stalls.push({ process, from, until: turnAt + integer(random, 1, 400) })
      return { ...one, toldAt: late }
    }
    return one
  })
  return { turns, stalls }
}

function toTurn(
  fate: Fate,
  change: (one: Deep<Turn>, draft: Deep<Facts>, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return (draft, random) =>
    toOne(
      draft.turns,
      random,
      ({ id }) => id.startsWith(fate),
      one => change(one, draft, random),
    )
}

function stallOf({ stalls }: Deep<Facts>, { process }: Deep<Turn>): Deep<Stall> {
  return stalls.find(stall => stall.process === process)!
}

const rules = ['granted-late']

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'somebody hears a moment too late',
    rules,
    corrupt: toTurn('in time', one => {
      one.toldAt = one.turnAt + 100.5
    }),
  },
  {
    title: 'somebody hears when it looks again',
    rules,
    corrupt: toTurn('in time', (one, _, random) => {
      one.toldAt = one.turnAt + integer(random, 101, 5000)
    }),
  },
  {
    title: 'somebody never hears',
    rules,
    corrupt: toTurn('in time', one => {
      one.toldAt = Infinity
    }),
  },
  {
    title: 'the turn of somebody came sooner than was thought',
    rules,
    corrupt: toTurn('in time', (one, _, random) => {
      one.turnAt = one.toldAt - integer(random, 101, 400)
    }),
  },
  {
    title: 'somebody who never hears lives',
    rules,
    corrupt: toTurn('died', one => {
      delete one.diedAt
    }),
  },
  {
    title: 'somebody who never hears died long afterwards',
    rules,
    corrupt: toTurn('died', (one, _, random) => {
      one.diedAt = one.turnAt + integer(random, 101, 5000)
    }),
  },
  {
    title: 'nobody stood still',
    rules,
    corrupt: toTurn('stood still', (one, draft) => {
      draft.stalls = draft.stalls.filter(({ process }) => process !== one.process)
    }),
  },
  {
    title: 'somebody else stood still',
    rules,
    corrupt: toTurn('stood still', (one, draft, random) => {
      stallOf(draft, one).process = `another ${integer(random, 1, 9)}`
    }),
  },
  {
    title: 'it stood still long before its turn',
    rules,
    corrupt: toTurn('stood still', (one, draft, random) => {
      Object.assign(stallOf(draft, one), { from: 0, until: one.turnAt - 500 - integer(random, 0, 500) })
    }),
  },
  {
    title: 'it stood still only when it had heard',
    rules,
    corrupt: toTurn('stood still', (one, draft, random) => {
      const from = one.toldAt + integer(random, 0, 500)
      Object.assign(stallOf(draft, one), { from, until: from + 100 })
    }),
  },
  {
    title: 'all was calm already',
    rules,
    corrupt: toTurn('before the calm', (one, _, random) => {
      one.turnAt = integer(random, 1500, 1600)
      one.toldAt = one.turnAt + integer(random, 101, 900)
    }),
  },
  {
    title: 'all was calm still',
    rules,
    corrupt: toTurn('after the calm', (one, _, random) => {
      one.turnAt = integer(random, 8700, 8900)
    }),
  },
]

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of turns',
  good: drawn,
  check: ({ turns, stalls }) => checkTurns(turns, stalls, calm),
  kinds,
})
