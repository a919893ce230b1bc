import { type Deep, integer, type Kind, pick, tellsBadHistories, toOne } from './bad-histories.ts'
import { checkDoubts, type Note } from './doubts.ts'
import { type Random, seeded } from './good-history.ts'

type Notes = readonly Note[]
type Draft = Deep<{ -readonly [Name in keyof Note]: Note[Name] }>[]

/** A round of calls, some of which failed; where the database was full there are doubts. */
function drawn(seed: number): Notes {
  const random = seeded(seed)
  const shortage = [undefined, 'of all', 'of one'][seed % 3]
  const notes: Note[] = Array.from({ length: integer(random, 8, 12) }, (_, index) => {
    const note = { table: 'counted', id: `w${integer(random, 1, 4)}-${index}` }
    const kind = random()
    if (kind < 0.5) return note
    if (kind < 0.8) return { ...note, error: 'UNAVAILABLE', isInDoubt: false }
    return { ...note, error: 'REQUEST_TIMEOUT' }
  })
  if (shortage === undefined) return notes
  const full =
    shortage === 'of all'
      ? { table: 'shortages', id: 'director-1' }
      : { table: 'writes', id: 'w1-99', error: 'NO_SPACE' }
  const doubt = { table: 'counted', id: 'w2-99', error: 'UNAVAILABLE', isInDoubt: true }
  return [...notes, full, doubt]
}

function isShort(notes: Draft): boolean {
  return notes.some(({ table, error }) => table === 'shortages' || error === 'NO_SPACE')
}

function toCall(
  fits: (note: Draft[number], notes: Draft) => boolean,
  change: (note: Draft[number], random: Random) => void,
): Kind<Notes>['corrupt'] {
  return (draft, random) => {
    const notes = draft as Draft
    if (isShort(notes)) return false
    return toOne(
      notes,
      random,
      note => note.table === 'counted' && fits(note, notes),
      note => change(note, random),
    )
  }
}

function toShortage(change: (notes: Draft, random: Random) => boolean): Kind<Notes>['corrupt'] {
  return (draft, random) => change(draft as Draft, random)
}

const doubtful = (note: Draft[number]) => {
  note.isInDoubt = true
}
const rules = ['count-in-doubt']

const kinds: readonly Kind<Notes>[] = [
  {
    title: 'a call that failed stays in doubt',
    rules,
    corrupt: toCall(({ error }) => error !== undefined, doubtful),
  },
  {
    title: 'a call stays in doubt, and nobody says why',
    rules,
    corrupt: toCall(({ error }) => error === undefined, doubtful),
  },
  {
    title: 'the first call stays in doubt',
    rules,
    corrupt: toCall((note, notes) => note === notes[0], doubtful),
  },
  {
    title: 'the last call stays in doubt',
    rules,
    corrupt: toCall((note, notes) => note === notes.at(-1), doubtful),
  },
  {
    title: 'several calls stay in doubt',
    rules,
    corrupt: (draft, random) => {
      if (isShort(draft as Draft)) return false
      for (const note of (draft as Draft).slice(0, integer(random, 2, 5))) doubtful(note)
      return true
    },
  },
  {
    title: 'every call stays in doubt',
    rules,
    corrupt: draft => {
      for (const note of draft as Draft) doubtful(note)
      return !isShort(draft as Draft)
    },
  },
  {
    title: 'a call stays in doubt that was refused for want of something else than room',
    rules,
    corrupt: toCall(
      () => true,
      (note, random) => {
        note.error = pick(['RESOURCE_EXHAUSTED', 'TOO_MANY_REQUESTS', 'NO_LEADER'], random)!
        doubtful(note)
      },
    ),
  },
  {
    title: 'a call stays in doubt, and the database was never full',
    rules,
    corrupt: toShortage((notes, random) => {
      const index = notes.findIndex(({ table }) => table === 'shortages')
      if (index === -1) return false
      notes.splice(index, 1)
      notes.at(-1)!.id = `w2-${integer(random, 100, 999)}`
      return true
    }),
  },
  {
    title: 'a call stays in doubt, and what was refused was refused for another reason',
    rules,
    corrupt: toShortage((notes, random) => {
      const refused = notes.find(({ error }) => error === 'NO_SPACE')
      if (refused === undefined) return false
      refused.error = random() < 0.5 ? 'PERMISSION_DENIED' : 'UNAVAILABLE'
      return true
    }),
  },
  {
    title: 'a call stays in doubt, and nobody was refused anything',
    rules,
    corrupt: toShortage(notes => {
      const refused = notes.find(({ error }) => error === 'NO_SPACE')
      delete refused?.error
      return refused !== undefined
    }),
  },
]

tellsBadHistories<Notes, Kind<Notes>>({
  name: 'the checker of doubts',
  good: drawn,
  check: checkDoubts,
  kinds,
})
