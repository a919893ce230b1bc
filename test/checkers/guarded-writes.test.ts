import test from 'ava'
import { pick, rulesOf } from './bad-histories.ts'
import {
  type Corruption,
  type Draft,
  type Grant,
  goneAt,
  grantRules,
  grantsOf,
  lifeOf,
  moveDelete,
  quiet,
  tellsCorruptions,
} from './corrupt.ts'
import type { Random } from './good-history.ts'
import { checkGuardedWrites } from './guarded-writes.ts'
import { acquisition, history, put } from './hand-written.ts'
import type { Outcome } from './history.ts'

type Write = Draft['guardedWrites'][number]

const kv = ['stale-read', 'stale-write', 'revision-regressed', 'read-wrong']

function write(draft: Draft, random: Random, outcome: Outcome = 'ok'): Write | undefined {
  return pick(
    draft.guardedWrites.filter(each => each.outcome === outcome),
    random,
  )
}

function change(
  of: (write: Write, draft: Draft) => boolean | undefined,
  outcome?: Outcome,
): Corruption['corrupt'] {
  return (draft, random) => {
    const found = write(draft, random, outcome)
    return found !== undefined && of(found, draft) !== false
  }
}

function putOf(draft: Draft, { key, value }: Write) {
  return draft.log
    .flatMap(({ changes }) => changes)
    .find(each => each.kind === 'put' && each.key === key && each.value === value) as
    | { value: string }
    | undefined
}

/** Another put under the same key that is nobody's but one left-out write's. */
function otherPut(draft: Draft, { id, key, value }: Write): { value: string } | undefined {
  const other = draft.guardedWrites.find(
    each => each.id !== id && each.key === key && putOf(draft, each) !== undefined,
  )
  if (other === undefined || other.value === value) return undefined
  draft.guardedWrites = draft.guardedWrites.filter(each => each !== other)
  return putOf(draft, other)
}

function grant(draft: Draft, { acquisition }: Write): Grant {
  return grantsOf(draft).find(({ id }) => id === acquisition)!
}

const corruptions: readonly Corruption[] = [
  {
    title: 'a write that was done is not in the log',
    rules: ['guarded-write-lost'],
    corrupt: change((each, draft) => {
      quiet(draft)
      putOf(draft, each)!.value = 'something else'
    }),
  },
  {
    title: 'a write that was done is under another key',
    rules: ['guarded-write-lost'],
    corrupt: change(each => {
      each.key += '1'
    }),
  },
  {
    title: 'a write that was said to fail is in the log',
    rules: ['guarded-write-phantom'],
    corrupt: change(each => {
      each.outcome = 'failed'
    }),
  },
  {
    title: 'a write that nobody heard of is said to have failed',
    rules: ['guarded-write-phantom'],
    corrupt: change((each, draft) => {
      if (putOf(draft, each) === undefined) return false
      each.outcome = 'failed'
      return true
    }, 'unknown'),
  },
  {
    title: 'its revision is one too high',
    rules: ['guarded-write-misplaced'],
    also: kv,
    corrupt: change(each => {
      each.revision! += 1n
    }),
  },
  {
    title: 'its revision is one too low',
    rules: ['guarded-write-misplaced'],
    also: kv,
    corrupt: change(each => {
      each.revision! -= 1n
    }),
  },
  {
    title: 'a write that was done is in the log twice',
    rules: ['guarded-write-twice'],
    also: [...grantRules, ...kv],
    corrupt: change((each, draft) => {
      const other = otherPut(draft, each)
      if (other === undefined) return false
      quiet(draft)
      other.value = each.value
      // Under the one it belongs to it may be unguarded as well; here it is to be only repeated.
      const owner = lifeOf(draft, grant(draft, each))
      const at = draft.log.findLastIndex(({ changes }) => changes.includes(other as never))
      const first = draft.log.findIndex(({ changes }) =>
        changes.some(one => one.kind === 'put' && one.value === each.value),
      )
      return owner.created < first && first > owner.owned[0]!.from && at <= owner.gone
    }),
  },
  {
    title: 'a write that nobody heard of was retried and is in the log twice',
    rules: ['guarded-write-twice', 'guarded-write-unguarded'],
    also: [...grantRules, ...kv],
    corrupt: change((each, draft) => {
      const other = otherPut(draft, each)
      if (other === undefined) return false
      quiet(draft)
      other.value = each.value
      each.outcome = 'unknown'
      const { owned } = lifeOf(draft, grant(draft, each))
      const indexes = draft.log.flatMap(({ changes }, index) =>
        changes.some(one => one.kind === 'put' && one.value === each.value) ? [index] : [],
      )
      return indexes.some(index => index <= owned[0]!.from || index > owned[0]!.until)
    }),
  },
  {
    title: 'it was made under a place that did not own then',
    rules: ['guarded-write-unguarded'],
    corrupt: change((each, draft) => {
      const other = grantsOf(draft).find(
        ({ id, line }) => id !== each.acquisition && line === grant(draft, each).line,
      )
      if (other === undefined) return false
      each.acquisition = other.id
      return true
    }),
  },
  {
    title: 'one that nobody heard of was made under a place that did not own then',
    rules: ['guarded-write-unguarded'],
    corrupt: change((each, draft) => {
      const other = grantsOf(draft).find(
        ({ id, line }) => id !== each.acquisition && line === grant(draft, each).line,
      )
      if (other === undefined) return false
      each.acquisition = other.id
      each.outcome = 'unknown'
      return true
    }),
  },
  {
    title: 'it was made under an acquisition that is not known',
    rules: ['guarded-write-unguarded'],
    corrupt: change(each => {
      each.acquisition = 'nobody'
    }),
  },
  {
    title: 'the place had another token',
    rules: ['guarded-write-unguarded'],
    also: grantRules,
    corrupt: change((each, draft) => {
      const owner = grant(draft, each)
      owner.token += 1n
      draft.guardedWrites = draft.guardedWrites.filter(
        ({ id, acquisition }) => id === each.id || acquisition !== owner.id,
      )
    }),
  },
  {
    title: 'the place had gone before',
    rules: ['guarded-write-unguarded'],
    also: [...grantRules, 'log-wrong-version'],
    corrupt: change((each, draft) => {
      const owner = grant(draft, each)
      const at = draft.log.find(({ revision }) => revision === each.revision)!.at
      return (
        goneAt(draft, owner) > at &&
        moveDelete(draft, owner, time => time > owner.settledAt - 20 && time < at)
      )
    }),
  },
  {
    title: 'two writes have one value',
    rules: ['guarded-value-not-unique'],
    corrupt: change((each, draft) => {
      draft.guardedWrites.push({ ...each, id: 'same' })
    }),
  },
]

tellsCorruptions('the checker of guarded writes', checkGuardedWrites, corruptions)

test('a write in the very revision that takes the place had found it there', t => {
  const last = history({
    log: [[put('l/a', 2n)], [put('x', 3n, 'one'), { kind: 'delete', key: 'l/a' }], [put('y', 4n, 'two')]],
    acquisitions: [acquisition('l/a', 2n)],
    guardedWrites: ['x one 3', 'y two 4'].map(text => {
      const [key, value, revision] = text.split(' ') as [string, string, string]
      const base = { process: 'p2', acquisition: 'a2', outcome: 'ok' as const, invokedAt: 0, settledAt: 99 }
      return { ...base, id: key, key, value, revision: BigInt(revision) }
    }),
  })
  const violations = checkGuardedWrites(last)
  t.deepEqual(rulesOf(violations), ['guarded-write-unguarded'])
  t.is(violations[0]!.involved[0], 'y')
})

test('a write in the very revision that creates the place had not found it there', t => {
  const first = history({
    log: [[put('l/a', 2n), put('x', 2n, 'one')]],
    acquisitions: [acquisition('l/a', 2n)],
    guardedWrites: [
      {
        id: 'x',
        process: 'p2',
        acquisition: 'a2',
        key: 'x',
        value: 'one',
        outcome: 'ok',
        revision: 2n,
        invokedAt: 0,
        settledAt: 99,
      },
    ],
  })
  t.deepEqual(rulesOf(checkGuardedWrites(first)), ['guarded-write-unguarded'])
})
