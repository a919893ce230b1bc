import test from 'ava'
import { exact } from './assumptions.ts'
import { pick, rulesOf } from './bad-histories.ts'
import {
  type Corruption,
  grantRules,
  grantsOf,
  lifeOf,
  quiet,
  released,
  tellsCorruptions,
} from './corrupt.ts'
import { acquisition, history, put } from './hand-written.ts'
import { checkServerExclusion } from './server-exclusion.ts'

const noPlace = { rules: ['grant-without-place'], also: grantRules }
const notOwned = { rules: ['grant-without-ownership'], also: grantRules }

const corruptions: readonly Corruption[] = [
  {
    title: 'the token is one above the place',
    ...noPlace,
    corrupt(draft, random) {
      pick(grantsOf(draft), random)!.token += 1n
      return true
    },
  },
  {
    title: 'the token is one below the place',
    ...noPlace,
    corrupt(draft, random) {
      pick(grantsOf(draft), random)!.token -= 1n
      return true
    },
  },
  {
    title: 'the key stands in another line',
    ...noPlace,
    corrupt(draft, random) {
      const grant = pick(grantsOf(draft), random)!
      grant.key = grant.key.replace('locks/', 'clocks/')
      return true
    },
  },
  {
    title: 'the key is longer than the one that was created',
    ...noPlace,
    corrupt(draft, random) {
      pick(grantsOf(draft), random)!.key += '0'
      return true
    },
  },
  {
    title: 'no key is told',
    ...noPlace,
    corrupt(draft, random) {
      delete (pick(grantsOf(draft), random)! as { key?: string }).key
      return true
    },
  },
  {
    title: 'no token is told',
    ...noPlace,
    corrupt(draft, random) {
      delete (pick(grantsOf(draft), random)! as { token?: bigint }).token
      return true
    },
  },
  {
    title: 'two grants have exchanged their tokens',
    ...noPlace,
    corrupt(draft, random) {
      const one = pick(grantsOf(draft), random)!
      const other = grantsOf(draft).find(({ key }) => key !== one.key)
      if (other === undefined) return false
      ;[one.token, other.token] = [other.token, one.token]
      return true
    },
  },
  {
    title: 'the place was never created',
    ...noPlace,
    corrupt(draft, random) {
      const grant = pick(grantsOf(draft), random)!
      const { created, gone } = lifeOf(draft, grant)
      quiet(draft)
      for (const commit of draft.log.slice(created, gone + 1)) {
        commit.changes = commit.changes.filter(({ key }) => key !== grant.key)
      }
      return true
    },
  },
  {
    title: 'an attempt that failed says it was granted',
    ...noPlace,
    corrupt(draft) {
      const failed = draft.acquisitions.find(({ outcome }) => outcome === 'failed')
      if (failed === undefined) return false
      Object.assign(failed, {
        outcome: 'ok',
        key: `${failed.line}7fff`,
        token: 3n,
        believedUntil: failed.settledAt,
      })
      return true
    },
  },
  {
    title: 'it is granted before the one ahead has left',
    ...notOwned,
    corrupt(draft, random) {
      const waited = grantsOf(draft).filter(grant => {
        const { created, owned } = lifeOf(draft, grant)
        return draft.log[owned[0]!.from]!.at > draft.log[created]!.at + 2
      })
      const grant = pick(waited, random)
      if (grant === undefined) return false
      grant.settledAt = draft.log[lifeOf(draft, grant).created]!.at + 1
      return true
    },
  },
  {
    title: 'it is granted after its place has gone',
    ...notOwned,
    corrupt(draft, random) {
      const { grant } = pick(released(draft), random) ?? {}
      if (grant === undefined) return false
      const gone = draft.log[lifeOf(draft, grant).gone]!.at
      grant.invokedAt = gone + 0.001
      grant.settledAt = gone + 0.002
      return true
    },
  },
  {
    title: 'it is granted before its place is created',
    ...notOwned,
    corrupt(draft, random) {
      const grant = pick(grantsOf(draft), random)!
      grant.settledAt = grant.invokedAt
      return true
    },
  },
  {
    title: 'an older key stands in front of the line for ever',
    ...notOwned,
    corrupt(draft, random) {
      const { line } = pick(grantsOf(draft), random)!
      quiet(draft)
      const { revision, changes } = draft.log[0]!
      const name = { key: `${line}0`, value: 'foreign', createRevision: revision, version: 1n, lease: 0n }
      changes.push({ kind: 'put', ...name })
      return true
    },
  },
]

tellsCorruptions('the checker of exclusion at the server', checkServerExclusion, corruptions)

test('a place that owned during the call is a grant, however short it was there', t => {
  const good = history({
    log: [[put('l/a', 2n)], [{ kind: 'delete', key: 'l/a' }]],
    acquisitions: [acquisition('l/a', 2n, { invokedAt: 0, settledAt: 9, believedUntil: 9 })],
  })
  t.deepEqual(checkServerExclusion(good), [])
})

test('a key of a nested line stands in both lines', t => {
  const nested = history({
    log: [[put('l/x/b', 2n)], [put('l/a', 3n)]],
    acquisitions: [
      acquisition('l/a', 3n, { id: 'outer', line: 'l/' }),
      acquisition('l/x/b', 2n, { id: 'inner', line: 'l/x/' }),
    ],
  })
  t.deepEqual(rulesOf(checkServerExclusion(nested)), ['grant-without-ownership'])
  t.deepEqual(checkServerExclusion(nested)[0]!.involved, ['outer'])
})

test('a recorder that is late is not held against the grant', t => {
  const late = history({
    log: [[put('l/a', 2n)]],
    acquisitions: [acquisition('l/a', 2n, { invokedAt: -9, settledAt: -3 })],
  })
  t.deepEqual(rulesOf(checkServerExclusion(late)), ['grant-without-ownership'])
  t.deepEqual(checkServerExclusion(late, { ...exact, recorderLagMs: 3 }), [])
})

test('two may own where the rule of the line says so', t => {
  const both = history({
    log: [[put('l/a', 2n)], [put('l/b', 3n)]],
    acquisitions: [acquisition('l/a', 2n), acquisition('l/b', 3n)],
  })
  t.deepEqual(rulesOf(checkServerExclusion(both)), ['grant-without-ownership'])
  const pair = {
    owners: <T>(places: readonly T[]) => places.slice(0, 2),
    together: (believers: readonly unknown[]) => believers.length <= 2,
    waitsFor: () => false,
  }
  t.deepEqual(checkServerExclusion(both, { ...exact, ruleOf: () => pair }), [])
})
