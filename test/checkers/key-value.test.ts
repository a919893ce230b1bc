import test from 'ava'
import { exact } from './assumptions.ts'
import { pick, rulesOf } from './bad-histories.ts'
import { type Corruption, type Draft, tellsCorruptions } from './corrupt.ts'
import { history, put } from './hand-written.ts'
import type { Outcome } from './history.ts'
import { checkKeyValue } from './key-value.ts'

type Write = Draft['writes'][number]
type Read = Draft['reads'][number]

const order = ['stale-read', 'stale-write', 'revision-regressed']

function write(
  of: (write: Write, draft: Draft) => boolean | undefined,
  outcome: Outcome = 'ok',
): Corruption['corrupt'] {
  return (draft, random) => {
    const found = pick(
      draft.writes.filter(
        each => each.outcome === outcome && each.value !== undefined && putOf(draft, each) !== undefined,
      ),
      random,
    )
    return found !== undefined && of(found, draft) !== false
  }
}

function read(of: (read: Read, draft: Draft) => boolean | undefined): Corruption['corrupt'] {
  return (draft, random) => {
    const found = pick(
      draft.reads.filter(each => each.outcome === 'ok' && each.found!.length > 0),
      random,
    )
    return found !== undefined && of(found, draft) !== false
  }
}

function putOf(draft: Draft, { key, value }: Write): { value: string } | undefined {
  return draft.log
    .flatMap(({ changes }) => changes)
    .find(each => each.kind === 'put' && each.key === key && each.value === value) as
    | { value: string }
    | undefined
}

function committedAt(draft: Draft, { revision }: Write): number {
  return draft.log.find(each => each.revision === revision)!.at
}

function onlyWrites(draft: Draft): void {
  draft.reads = []
  draft.watches = []
}

/** A pair of calls of which one had been answered before the other was made. */
function reorder(
  same: boolean,
  of: (earlier: Write | Read, later: Write | Read) => boolean,
): Corruption['corrupt'] {
  return (draft, random) => {
    const calls: (Write | Read)[] = [...draft.writes, ...draft.reads].filter(
      ({ outcome }) => outcome === 'ok',
    )
    const pairs = calls.flatMap(later =>
      calls
        .filter(
          earlier =>
            earlier.settledAt < later.invokedAt &&
            earlier.revision! < later.revision! &&
            'value' in earlier &&
            earlier.value !== undefined &&
            (earlier.process === later.process) === same,
        )
        .map(earlier => ({ earlier, later })),
    )
    const found = pick(pairs, random)
    if (found === undefined) return false
    // Alone with each other, so that nobody else proves the same.
    draft.writes = draft.writes.filter(each => each === found.earlier || each === found.later)
    draft.reads = draft.reads.filter(each => each === found.later)
    draft.guardedWrites = []
    return of(found.earlier, found.later)
  }
}

/** The later call is made to have been answered from before the earlier one. */
function fromThePast(kind: 'read' | 'write'): (earlier: Write | Read, later: Write | Read) => boolean {
  return (earlier, later) => {
    if ('found' in later !== (kind === 'read')) return false
    if ('value' in later && later.value === undefined) return false
    later.revision = earlier.revision! - 1n
    if ('found' in later) delete (later as { found?: unknown }).found
    return true
  }
}

const wrong = { rules: ['read-wrong'] }

const corruptions: readonly Corruption[] = [
  {
    title: 'a read found another value',
    ...wrong,
    corrupt: read(each => {
      each.found![0]!.value += '!'
    }),
  },
  {
    title: 'a read found nothing',
    ...wrong,
    corrupt: read(each => {
      each.found = []
    }),
  },
  {
    title: 'a read found too much',
    ...wrong,
    corrupt: read(each => void each.found!.push({ ...each.found![0]!, key: 'data/zz' })),
  },
  {
    title: 'a read found another version',
    ...wrong,
    corrupt: read(each => {
      each.found![0]!.version += 1n
    }),
  },
  {
    title: 'a read found another create revision',
    ...wrong,
    corrupt: read(each => {
      each.found![0]!.createRevision -= 1n
    }),
  },
  {
    title: 'a read found another mod revision',
    ...wrong,
    corrupt: read(each => {
      each.found![0]!.modRevision -= 1n
    }),
  },
  {
    title: 'a read found one key twice',
    ...wrong,
    corrupt: read(each => void each.found!.push(each.found![0]!)),
  },
  {
    title: 'a read is from a revision that was never committed',
    rules: ['read-beyond-log'],
    also: order,
    corrupt(draft, random) {
      const last = pick(
        draft.reads.filter(({ outcome }) => outcome === 'ok'),
        random,
      )
      if (last === undefined) return false
      draft.reads = [last]
      draft.writes = draft.writes.filter(({ invokedAt }) => invokedAt < last.settledAt)
      draft.guardedWrites = draft.guardedWrites.filter(({ invokedAt }) => invokedAt < last.settledAt)
      last.revision = draft.log.at(-1)!.revision + 1n
      return true
    },
  },
  {
    title: 'a read is older than what another process had written',
    rules: ['stale-read'],
    corrupt: reorder(false, fromThePast('read')),
  },
  {
    title: 'a read is older than what its own process had written',
    rules: ['revision-regressed'],
    corrupt: reorder(true, fromThePast('read')),
  },
  {
    title: 'a write that was done is not in the log',
    rules: ['write-lost'],
    corrupt: write((each, draft) => {
      onlyWrites(draft)
      putOf(draft, each)!.value = 'something else'
    }),
  },
  {
    title: 'a write is under another key',
    rules: ['write-lost'],
    corrupt: write(each => {
      each.key += '1'
    }),
  },
  {
    title: 'a write that was said to fail is in the log',
    rules: ['write-phantom'],
    corrupt: write(each => {
      each.outcome = 'failed'
    }),
  },
  {
    title: 'a write that nobody heard of is said to have failed',
    rules: ['write-phantom'],
    corrupt: write(each => {
      each.outcome = 'failed'
    }, 'unknown'),
  },
  ...(['ok', 'unknown'] as const).map(outcome => ({
    title: `a write that was ${outcome} was applied twice`,
    rules: ['write-twice'],
    corrupt: write((each, draft) => {
      const other = draft.writes.find(
        one =>
          one !== each && one.key === each.key && one.value !== undefined && putOf(draft, one) !== undefined,
      )
      if (other === undefined) return false
      onlyWrites(draft)
      putOf(draft, other)!.value = each.value!
      draft.writes = draft.writes.filter(one => one !== other)
      return true
    }, outcome),
  })),
  {
    title: 'the revision of a write is one too high',
    rules: ['write-misplaced'],
    also: order,
    corrupt: write((each, draft) => {
      each.revision! += 1n
      draft.reads = []
      draft.guardedWrites = []
      draft.writes = [each]
    }),
  },
  {
    title: 'the revision of a write is one too low',
    rules: ['write-misplaced'],
    corrupt: write((each, draft) => {
      each.revision! -= 1n
      draft.reads = []
      draft.guardedWrites = []
      draft.writes = [each]
    }),
  },
  {
    title: 'a write was applied before it was asked for',
    rules: ['write-outside-call'],
    also: order,
    corrupt: write((each, draft) => {
      draft.reads = []
      draft.guardedWrites = []
      draft.writes = [each]
      each.invokedAt = committedAt(draft, each) + 0.01
    }),
  },
  {
    title: 'a write was applied after its answer',
    rules: ['write-outside-call'],
    corrupt: write((each, draft) => {
      draft.reads = []
      draft.guardedWrites = []
      draft.writes = [each]
      each.settledAt = committedAt(draft, each) - 0.01
    }),
  },
  {
    title: 'two writes have one value',
    rules: ['value-not-unique'],
    corrupt: write((each, draft) => {
      draft.writes.push({ ...each, id: 'same', revision: each.revision! })
    }),
  },
  {
    title: 'what was deleted is still there',
    rules: ['delete-lost'],
    corrupt(draft, random) {
      const found = pick(
        draft.writes.filter(each => each.outcome === 'ok' && each.value !== undefined),
        random,
      )
      if (found === undefined) return false
      draft.reads = []
      draft.guardedWrites = []
      draft.writes = [{ ...found, value: undefined }]
      return true
    },
  },
]

tellsCorruptions('the checker of keys and values', checkKeyValue, corruptions)

const base = { process: 'p', outcome: 'ok' as const, invokedAt: 0, settledAt: 15 }

test('a write that shares its revision with one answered before is stale', t => {
  const both = history({
    log: [[put('a', 2n, 'one'), put('b', 2n, 'two')]],
    times: [10],
    writes: [
      { ...base, id: 'w1', key: 'a', value: 'one', revision: 2n },
      { ...base, id: 'w2', process: 'q', key: 'b', value: 'two', revision: 2n, invokedAt: 16, settledAt: 20 },
    ],
  })
  // It was applied before it was asked for, as well.
  t.deepEqual(rulesOf(checkKeyValue(both)), ['stale-write', 'write-outside-call'])
  const [first, second] = both.writes
  t.deepEqual(checkKeyValue({ ...both, writes: [first!, { ...second!, invokedAt: 5 }] }), [])
})

test('deleting what is not there is answered with the revision there is', t => {
  const nothing = history({
    log: [[put('a', 2n, 'one')]],
    times: [10],
    writes: [
      { ...base, id: 'w1', key: 'a', value: 'one', revision: 2n },
      { ...base, id: 'w2', key: 'b', value: undefined, revision: 2n, invokedAt: 16, settledAt: 20 },
    ],
  })
  t.deepEqual(checkKeyValue(nothing), [])
})

test('stale reads are the fault of a server that is known for them', t => {
  const stale = history({
    log: [[put('a', 2n, 'one')]],
    times: [10],
    writes: [{ ...base, id: 'w1', key: 'a', value: 'one', revision: 2n }],
    reads: [
      { ...base, id: 'r1', process: 'q', from: 'a', invokedAt: 16, settledAt: 20, revision: 1n, found: [] },
    ],
  })
  t.deepEqual(rulesOf(checkKeyValue(stale)), ['stale-read'])
  t.deepEqual(checkKeyValue(stale, { ...exact, staleReads: true }), [])
})

test('whoever was told something itself is answered nothing older, also by such a server', t => {
  const regressed = history({
    log: [[put('a', 2n, 'one')]],
    times: [10],
    writes: [{ ...base, id: 'w1', key: 'a', value: 'one', revision: 2n }],
    reads: [{ ...base, id: 'r1', from: 'a', invokedAt: 16, settledAt: 20, revision: 1n, found: [] }],
  })
  t.deepEqual(rulesOf(checkKeyValue(regressed, { ...exact, staleReads: true })), ['revision-regressed'])
  const [first] = regressed.writes
  const later = { ...regressed, writes: [{ ...first!, settledAt: 17 }] }
  t.deepEqual(checkKeyValue(later, { ...exact, staleReads: true }), [], 'it had not been told when it asked')
})
