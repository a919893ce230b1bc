import test from 'ava'
import { exact } from './assumptions.ts'
import { pick, rulesOf } from './bad-histories.ts'
import { type Corruption, type Draft, tellsCorruptions } from './corrupt.ts'
import { history, put } from './hand-written.ts'
import { checkWatches } from './watches.ts'

type Watched = Draft['watches'][number]
type Changes = Extract<Watched['told'][number], { kind: 'changes' }>
type Reset = Extract<Watched['told'][number], { kind: 'reset' }>
type Put = Extract<Changes['changes'][number], { kind: 'put' }>

function tell(
  of: (entry: Changes, position: number, watched: Watched) => boolean | undefined,
): Corruption['corrupt'] {
  return (draft, random) => {
    const all = draft.watches.flatMap(watched =>
      watched.told.flatMap((entry, position) =>
        entry.kind === 'changes' ? [{ entry, position, watched }] : [],
      ),
    )
    const found = pick(all, random)
    return found !== undefined && of(found.entry, found.position, found.watched) !== false
  }
}

/** Of a revision that changed several keys. */
function tellSeveral(
  of: (entry: Changes, position: number, watched: Watched) => void,
): Corruption['corrupt'] {
  return draft => {
    for (const watched of draft.watches) {
      const position = watched.told.findIndex(entry => entry.kind === 'changes' && entry.changes.length > 1)
      if (position === -1) continue
      of(watched.told[position] as Changes, position, watched)
      return true
    }
    return false
  }
}

function tellPut(of: (change: Put, watched: Watched) => void): Corruption['corrupt'] {
  return (draft, random) => {
    const puts = draft.watches.flatMap(watched =>
      watched.told.flatMap(entry =>
        entry.kind === 'changes'
          ? entry.changes.flatMap(change => (change.kind === 'put' ? [{ change, watched }] : []))
          : [],
      ),
    )
    const found = pick(puts, random)
    if (found === undefined) return false
    of(found.change, found.watched)
    return true
  }
}

function reset(
  of: (entry: Reset, watched: Watched, draft: Draft) => boolean | undefined,
): Corruption['corrupt'] {
  return (draft, random) => {
    const all = draft.watches.flatMap(watched =>
      watched.told.flatMap(entry =>
        entry.kind === 'reset' && entry.found.length > 0 ? [{ entry, watched }] : [],
      ),
    )
    const found = pick(all, random)
    return found !== undefined && of(found.entry, found.watched, draft) !== false
  }
}

const gap = { rules: ['watch-gap'] }
const wrong = { rules: ['watch-wrong'] }
const badReset = { rules: ['watch-reset-wrong'] }

const corruptions: readonly Corruption[] = [
  {
    title: 'a revision is left out',
    ...gap,
    corrupt: tell((_, position, { told }) => void told.splice(position, 1)),
  },
  {
    title: 'the first revision is left out',
    ...gap,
    corrupt: tell((_, __, { told }) => {
      if (told[0]!.kind === 'reset') return false
      told.shift()
      return true
    }),
  },
  {
    title: 'the last revision is left out',
    ...gap,
    corrupt: tell((_, __, { told }) => told.pop()!.kind === 'changes'),
  },
  {
    title: 'several revisions are left out',
    ...gap,
    corrupt: tell((_, position, { told }) =>
      told.splice(position, 3).every(({ kind }) => kind === 'changes'),
    ),
  },
  {
    title: 'nothing is told at all',
    ...gap,
    corrupt: tell((_, __, watched) => {
      watched.told = []
    }),
  },
  {
    title: 'a revision is told twice',
    rules: ['watch-duplicate'],
    corrupt: tell((entry, position, { told }) => void told.splice(position, 0, entry)),
  },
  {
    title: 'a revision is told again at the end',
    rules: ['watch-duplicate'],
    corrupt: tell((entry, _, { told }) => void told.push(entry)),
  },
  {
    title: 'two revisions change places',
    rules: ['watch-disorder'],
    corrupt: tell((entry, position, { told }) => {
      const next = told[position + 1]
      if (next?.kind !== 'changes') return false
      told.splice(position, 2, next, entry)
      return true
    }),
  },
  {
    title: 'a revision comes late',
    rules: ['watch-disorder'],
    corrupt: tell((entry, position, { told }) => {
      if (told.slice(position).some(({ kind }) => kind === 'reset') || position > told.length - 3)
        return false
      told.splice(position, 1)
      told.push(entry)
      return true
    }),
  },
  {
    title: 'a revision comes in two parts',
    rules: ['watch-duplicate', 'watch-torn'],
    corrupt: tellSeveral((entry, position, { told }) => {
      const [first, ...others] = entry.changes
      told.splice(position, 1, { ...entry, changes: [first!] }, { ...entry, changes: others })
    }),
  },
  {
    title: 'a part of a revision is missing',
    rules: ['watch-torn'],
    corrupt: tellSeveral(entry => {
      entry.changes.pop()
    }),
  },
  {
    title: 'a value is another',
    ...wrong,
    corrupt: tellPut(change => {
      change.value += '!'
    }),
  },
  {
    title: 'a create revision is wrong',
    ...wrong,
    corrupt: tellPut(change => {
      change.createRevision -= 1n
    }),
  },
  {
    title: 'a version is wrong',
    ...wrong,
    corrupt: tellPut(change => {
      change.version += 1n
    }),
  },
  {
    title: 'a lease is wrong',
    ...wrong,
    corrupt: tellPut(change => {
      change.lease += 1n
    }),
  },
  {
    title: 'a key outside its range is told',
    ...wrong,
    corrupt: tell(entry => void entry.changes.push({ kind: 'delete', key: '!outside' })),
  },
  {
    title: 'a put is told as a deletion',
    ...wrong,
    corrupt: tell(entry => {
      const [change] = entry.changes
      if (change?.kind !== 'put') return false
      entry.changes[0] = { kind: 'delete', key: change.key }
      return true
    }),
  },
  {
    title: 'a revision is told that changed nothing in its range',
    rules: ['watch-invented'],
    corrupt: tell((entry, position, { told }) => {
      const next = told[position + 1]
      if (next === undefined || next.revision === entry.revision + 1n) return false
      told.splice(position + 1, 0, { ...entry, revision: entry.revision + 1n })
      return true
    }),
  },
  {
    title: 'it was told of what came before it asked',
    rules: ['watch-disorder'],
    corrupt: tell((_, __, watched) => {
      const [first] = watched.told
      if (first?.kind !== 'changes') return false
      watched.since = first.revision + 1n
      return true
    }),
  },
  {
    title: 'it was told more than it says',
    rules: ['watch-beyond-told'],
    corrupt: tell((_, __, watched) => {
      const last = watched.told.at(-1)
      if (last?.kind !== 'changes') return false
      watched.toldUntil = last.revision - 1n
      return true
    }),
  },
  {
    title: 'it says it was told of what was never committed',
    rules: ['watch-beyond-log'],
    also: ['watch-gap'],
    corrupt(draft) {
      const [watched] = draft.watches
      if (watched === undefined) return false
      const known = history({ ...draft, log: [] })
      const end = draft.log.at(-1)!.revision
      const told = { ...watched, toldUntil: end }
      // Only where nothing is owed between: then nothing else is wrong.
      if (checkWatches({ ...known, log: draft.log, watches: [told] }).length > 0) return false
      draft.watches = [{ ...told, toldUntil: end + 5n }]
      return true
    },
  },
  {
    title: 'a key is missing where it starts over',
    ...badReset,
    corrupt: reset(entry => entry.found.pop() !== undefined),
  },
  {
    title: 'a value is old where it starts over',
    ...badReset,
    corrupt: reset(entry => {
      entry.found[0]!.value += '?'
    }),
  },
  {
    title: 'a version is wrong where it starts over',
    ...badReset,
    corrupt: reset(entry => {
      entry.found[0]!.version += 1n
    }),
  },
  {
    title: 'a key that is gone is there where it starts over',
    ...badReset,
    corrupt: reset(entry => void entry.found.push({ ...entry.found[0]!, key: 'data/gone' })),
  },
  {
    title: 'it starts over from the past',
    rules: ['watch-disorder'],
    corrupt: reset((entry, { told }) => {
      const last = told.at(-1)!
      if (last.kind === 'reset' || told.length < 4) return false
      told.push(entry)
      return true
    }),
  },
]

tellsCorruptions('the checker of watches', checkWatches, corruptions)

test('all of one revision may be told in any order', t => {
  const changes = [put('a', 2n), put('b', 2n)]
  const log = [changes]
  const told = [{ kind: 'changes' as const, revision: 2n, changes: changes.toReversed() }]
  const watch = { id: 'w', process: 'p', from: 'a', to: 'z', since: 2n, toldUntil: 2n, told }
  t.deepEqual(checkWatches(history({ log, watches: [watch] })), [])
})

test('what a server withholds is not held against the watcher, if it is known to do so', t => {
  const watch = { id: 'w', process: 'p', from: 'a', since: 2n, toldUntil: 2n, told: [] }
  const silent = history({ log: [[put('a', 2n)]], watches: [watch] })
  t.deepEqual(rulesOf(checkWatches(silent)), ['watch-gap'])
  t.deepEqual(checkWatches(silent, { ...exact, lostEvents: true }), [])
  t.false(rulesOf(checkWatches(silent, { ...exact, hostile: true })).length === 0)
})
