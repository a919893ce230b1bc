import test from 'ava'
import { type Deep, integer, type Kind, pick, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import { history, put } from './hand-written.ts'
import type { Change, Commit, History } from './history.ts'
import { checkTransactions, type Transacted } from './transactions.ts'

function transaction(id: string, rest: Partial<Transacted>): Transacted {
  return {
    id,
    process: 'p',
    invokedAt: 0,
    settledAt: 100,
    outcome: 'ok',
    seen: [],
    wrote: new Map(),
    discarded: [],
    ...rest,
  }
}

function saw(key: string, value?: string): Transacted['seen'][number] {
  return { span: { from: key }, values: new Map(value === undefined ? [] : [[key, value]]) }
}

const log = [[put('stm/a', 2n, 'a1')], [{ ...put('stm/a', 2n, 'a3'), version: 2n }]]

test('transactions of one commit that see each other in some order are in order', t => {
  const chain = [
    transaction('two', { revision: 3n, seen: [saw('stm/a', 'a2')], wrote: new Map([['stm/a', 'a3']]) }),
    transaction('one', { revision: 3n, seen: [saw('stm/a', 'a1')], wrote: new Map([['stm/a', 'a2']]) }),
    transaction('between', { revision: 3n, seen: [saw('stm/a', 'a2')] }),
    transaction('elsewhere', { process: 'q', revision: 3n, seen: [saw('stm/a', 'a3')] }),
  ]
  t.deepEqual(checkTransactions(history({ log }), chain), [])
})

test("what travels with a commit and no transaction writes is nobody's", t => {
  const alone = transaction('one', { revision: 2n, seen: [saw('stm/a')], wrote: new Map([['stm/a', 'a1']]) })
  const company = [[put('stm/a', 2n, 'a1'), put('counter', 2n, '1')]]
  t.deepEqual(checkTransactions(history({ log: company }), [alone]), [])
  const stray = [[put('stm/a', 2n, 'a1'), put('stm/b', 2n, 'b1')]]
  const other = transaction('two', { outcome: 'failed', wrote: new Map([['stm/b', 'b2']]) })
  t.is(checkTransactions(history({ log: stray }), [alone, other])[0]?.rule, 'transactions-without-order')
})

test('one that did not see the one before it is found', t => {
  const lost = [
    transaction('one', { revision: 3n, seen: [saw('stm/a', 'a1')], wrote: new Map([['stm/a', 'a2']]) }),
    transaction('two', { revision: 3n, seen: [saw('stm/a', 'a1')], wrote: new Map([['stm/a', 'a3']]) }),
  ]
  t.is(checkTransactions(history({ log }), lost)[0]?.rule, 'transactions-without-order')
})

test('the inside of a commit is seen by nobody else', t => {
  const torn = [
    transaction('one', { revision: 3n, seen: [saw('stm/a', 'a1')], wrote: new Map([['stm/a', 'a2']]) }),
    transaction('two', { revision: 3n, seen: [saw('stm/a', 'a2')], wrote: new Map([['stm/a', 'a3']]) }),
    transaction('elsewhere', { process: 'q', revision: 3n, seen: [saw('stm/a', 'a2')] }),
  ]
  t.is(checkTransactions(history({ log }), torn)[0]?.rule, 'transactions-without-order')
})

test('a phantom in a range is found', t => {
  const blind = transaction('one', {
    revision: 3n,
    seen: [{ span: { from: 'stm/', to: 'stm0' }, values: new Map() }],
    wrote: new Map([['stm/a', 'a3']]),
  })
  t.is(checkTransactions(history({ log }), [blind])[0]?.rule, 'transactions-without-order')
})

test('what a failed or discarded run wrote is found', t => {
  const failed = transaction('one', { outcome: 'failed', wrote: new Map([['stm/a', 'a1']]) })
  t.is(checkTransactions(history({ log }), [failed])[0]?.rule, 'transaction-misplaced')
  const discarded = transaction('two', { outcome: 'unknown', discarded: ['a3'] })
  t.is(checkTransactions(history({ log }), [discarded])[0]?.rule, 'discarded-run-applied')
})

test('an answer from before an earlier answer is found', t => {
  const writer = transaction('one', {
    revision: 3n,
    seen: [saw('stm/a', 'a1')],
    wrote: new Map([['stm/a', 'a3']]),
    settledAt: 10,
  })
  const late = transaction('two', { revision: 2n, seen: [saw('stm/a', 'a1')], invokedAt: 20 })
  t.deepEqual(
    checkTransactions(history({ log }), [writer, late]).map(({ rule }) => rule),
    ['transaction-from-the-past'],
  )
})

interface Facts {
  readonly history: History
  readonly transactions: readonly Transacted[]
}

const KEYS = ['stm/a', 'stm/b', 'stm/c', 'stm/list/0', 'stm/list/1', 'stm/list/2']
const LIST = { from: 'stm/list/', to: 'stm/list0' }

type State = ReadonlyMap<string, string>

/**
 * Transactions of several processes, alone and several in one commit, each of which sees what those before it left; some
 * that only read, that fail, that run again, and of which nobody hears.
 */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const log: Commit[] = []
  const transactions: Transacted[] = []
  let store: State = new Map()
  for (let turn = 0; turn < 24; turn += 1) {
    const at = 100 * turn + 50
    const process = `p${integer(random, 0, 2)}`
    const told = () => ({
      invokedAt: at - integer(random, 1, 120),
      settledAt: at + integer(random, 1, 120),
      process,
    })
    const revision = BigInt(log.length + 2)
    if (turn > 2 && turn % 4 === 3) {
      const seen = seenBy(random, store)
      transactions.push(transaction(`look ${turn}`, { ...told(), revision: revision - 1n, seen }))
      continue
    }
    if (turn % 7 === 5) {
      const wrote = new Map([[pick(KEYS, random)!, `${turn}-never`]])
      const outcome = random() < 0.6 ? 'failed' : 'unknown'
      transactions.push(
        transaction(`in vain ${turn}`, { ...told(), outcome, seen: seenBy(random, store), wrote }),
      )
      continue
    }
    let state = store
    const written = new Set<string>()
    const count = turn % 3 === 0 ? integer(random, 2, 3) : 1
    for (let each = 0; each < count; each += 1) {
      const id = `${turn}-${each}`
      const wrote = new Map<string, string | undefined>()
      for (let writes = integer(random, 1, 2); writes > 0; writes -= 1) {
        const key = pick(KEYS, random)!
        wrote.set(key, random() < 0.1 && state.has(key) ? undefined : `${id}-${writes}`)
      }
      const seen = [...seenBy(random, state), ...[...written].map(key => saw(key, state.get(key)))]
      const discarded = random() < 0.4 ? [`${id}-discarded`] : []
      const known = { ...told(), seen, wrote, discarded }
      // Some commits are made, and nobody hears of them.
      if (random() < 0.1) transactions.push(transaction(id, { ...known, outcome: 'unknown' }))
      else transactions.push(transaction(id, { ...known, revision }))
      state = after(state, wrote)
      for (const key of wrote.keys()) written.add(key)
    }
    log.push({ revision, at, changes: [...written].map(key => changeOf(key, store, state, revision)) })
    store = state
  }
  return { history: { ...history(), log }, transactions }
}

function seenBy(random: Random, state: State): Transacted['seen'][number][] {
  const seen = KEYS.filter(() => random() < 0.4).map(key => saw(key, state.get(key)))
  if (random() < 0.4)
    seen.push({ span: LIST, values: new Map([...state].filter(([key]) => key.startsWith(LIST.from))) })
  return seen
}

function after(state: State, wrote: ReadonlyMap<string, string | undefined>): State {
  const next = new Map(state)
  for (const [key, value] of wrote)
    if (value === undefined) next.delete(key)
    else next.set(key, value)
  return next
}

function changeOf(key: string, before: State, state: State, revision: bigint): Change {
  const value = state.get(key)
  if (value === undefined) return { kind: 'delete', key }
  return { ...put(key, before.has(key) ? 2n : revision, value) }
}

type Draft = Deep<Facts>
type One = Deep<Transacted>

function stateAfter({ history: { log } }: Draft, revision: bigint): State {
  const state = new Map<string, string>()
  for (const { changes } of log.filter(commit => commit.revision <= revision))
    for (const change of changes)
      if (change.kind === 'put') state.set(change.key, change.value)
      else state.delete(change.key)
  return state
}

function commitOf({ history: { log } }: Draft, { revision }: One): Deep<Commit> {
  return log.find(commit => commit.revision === revision)!
}

/** All that went into one commit, whoever has heard of it. */
function batchOf(draft: Draft, one: One): One[] {
  const [turn] = one.id.split('-')
  return draft.transactions.filter(({ id }) => id.split('-')[0] === turn)
}

const writes = (one: One) => one.outcome === 'ok' && one.wrote.size > 0
const onlyReads = (one: One) => one.outcome === 'ok' && one.wrote.size === 0
const isAlone = (one: One, draft: Draft) => writes(one) && batchOf(draft, one).length === 1

function toOneThat(
  fits: (one: One, draft: Draft) => boolean,
  change: (one: One, draft: Draft, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return (draft, random) =>
    toOne(
      draft.transactions,
      random,
      one => fits(one, draft),
      one => change(one, draft, random),
    )
}

/** As the last commit, of which nobody speaks. */
function append({ history: { log } }: Draft, key: string, value: string): void {
  const { revision, at } = log.at(-1)!
  log.push({
    revision: revision + 1n,
    at: at + 10,
    changes: [put(key, revision + 1n, value) as Deep<Change>],
  })
}

const unordered = ['transactions-without-order']
const isPoint = ({ span }: Deep<Transacted['seen'][number]>) => span.to === undefined
const seesSomething = (one: One) => one.outcome === 'ok' && one.seen.some(({ values }) => values.size > 0)
const seesList = (one: One) => one.outcome === 'ok' && one.seen.some(({ span }) => span.to !== undefined)

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'a transaction did not see what was written before it',
    rules: unordered,
    corrupt: toOneThat(seesSomething, one => {
      one.seen.find(({ values }) => values.size > 0)!.values.clear()
    }),
  },
  {
    title: 'a transaction saw what was true before the last write',
    rules: unordered,
    corrupt: toOneThat(
      (one, draft) => writes(one) && commitOf(draft, one).revision > 4n,
      (one, draft, random) => {
        // Of a key that somebody has written twice by then.
        const now = stateAfter(draft, one.revision! - 1n)
        const old = stateAfter(draft, one.revision! - BigInt(integer(random, 2, 3)))
        const key = KEYS.find(each => old.get(each) !== now.get(each))!
        one.seen = [saw(key, old.get(key)) as One['seen'][number]]
      },
    ),
  },
  {
    title: 'a transaction saw what was never written',
    rules: unordered,
    corrupt: toOneThat(
      one => one.outcome === 'ok',
      (one, _, random) => {
        one.seen.push(saw(pick(KEYS, random)!, 'never') as One['seen'][number])
      },
    ),
  },
  {
    title: 'a transaction saw what was written only later',
    rules: unordered,
    corrupt: toOneThat(
      (one, draft) => one.outcome === 'ok' && one.revision! < draft.history.log.at(-1)!.revision,
      (one, { history: { log } }) => {
        const later = log.find(
          ({ revision, changes }) => revision > one.revision! && changes.some(({ kind }) => kind === 'put'),
        )!
        const change = later.changes.find(({ kind }) => kind === 'put') as Extract<Change, { kind: 'put' }>
        one.seen.push(saw(change.key, change.value) as One['seen'][number])
      },
    ),
  },
  {
    title: 'the inside of a commit was seen by another process',
    rules: unordered,
    corrupt: toOneThat(
      (one, draft) => {
        const [first, second] = batchOf(draft, one)
        if (second === undefined || first !== one) return false
        return [...first.wrote].some(([key, value]) => value !== undefined && second.wrote.has(key))
      },
      (one, draft) => {
        const [, second] = batchOf(draft, one)
        const [key, value] = [...one.wrote].find(
          ([each, wrote]) => wrote !== undefined && second!.wrote.has(each),
        )!
        const revision = batchOf(draft, one).find(each => each.revision !== undefined)?.revision ?? 2n
        const { invokedAt, settledAt } = one
        const look = transaction('spy', {
          process: 'spy',
          revision,
          seen: [saw(key, value)],
          invokedAt,
          settledAt,
        })
        draft.transactions.push(look as One)
      },
    ),
  },
  {
    title: 'a range was seen without one of its keys',
    rules: unordered,
    corrupt: toOneThat(
      one => seesList(one) && one.seen.some(({ span, values }) => span.to !== undefined && values.size > 0),
      (one, _, random) => {
        const { values } = one.seen.find(({ span }) => span.to !== undefined)!
        values.delete(pick([...values.keys()], random)!)
      },
    ),
  },
  {
    title: 'a range was seen with a key that was not there',
    rules: unordered,
    corrupt: toOneThat(seesList, (one, _, random) => {
      const { values } = one.seen.find(({ span }) => span.to !== undefined)!
      values.set(`${LIST.from}${integer(random, 5, 9)}`, 'a phantom')
    }),
  },
  {
    title: 'two of one commit did not see each other, and wrote the same',
    rules: unordered,
    corrupt: toOneThat(
      (one, draft) => {
        const [first, second, third] = batchOf(draft, one)
        const isPair = first === one && second !== undefined && third === undefined
        return isPair && writes(first) && writes(second)
      },
      (one, draft) => {
        const [first, second] = batchOf(draft, one)
        const store = stateAfter(draft, one.revision! - 1n)
        const key = [...first!.wrote.keys()][0]!
        const both = [first!, second!]
        for (const each of both) {
          each.seen = [saw(key, store.get(key)) as One['seen'][number]]
          each.wrote.set(key, `${each.id}-both`)
        }
        for (const change of commitOf(draft, one).changes)
          if (change.key === key) Object.assign(change, put(key, one.revision!, `${second!.id}-both`))
      },
    ),
  },
  {
    title: 'a commit stores what another of its transactions had written over',
    rules: unordered,
    corrupt: toOneThat(
      (one, draft) => {
        const [first, ...rest] = batchOf(draft, one)
        return (
          first === one &&
          rest.length > 0 &&
          [first, ...rest].every(writes) &&
          rest.every(({ seen }) => seen.some(isPoint)) &&
          [...first.wrote].some(
            ([key, value]) => value !== undefined && rest.some(({ wrote }) => wrote.has(key)),
          )
        )
      },
      (one, draft) => {
        const [first, ...rest] = batchOf(draft, one)
        const [key, value] = [...first!.wrote].find(
          ([each, wrote]) => wrote !== undefined && rest.some(({ wrote: theirs }) => theirs.has(each)),
        )!
        for (const change of commitOf(draft, one).changes)
          if (change.key === key) Object.assign(change, put(key, one.revision!, value!))
        // The next has seen it, so that it cannot have come before.
        rest[0]!.seen.push(saw(key, value) as One['seen'][number])
      },
    ),
  },
  {
    title: 'a half of what a transaction wrote is stored',
    rules: unordered,
    corrupt: toOneThat(
      (one, draft) =>
        isAlone(one, draft) && [...one.wrote.values()].filter(value => value !== undefined).length === 2,
      (one, draft, random) => {
        commitOf(draft, one).changes.splice(integer(random, 0, 1), 1)
      },
    ),
  },
  {
    title: 'nothing of what a transaction wrote is stored',
    rules: unordered,
    corrupt: toOneThat(
      (one, draft) => isAlone(one, draft) && [...one.wrote.values()].every(value => value !== undefined),
      (one, draft) => {
        commitOf(draft, one).changes = []
      },
    ),
  },
  {
    title: 'a commit stores what none of its transactions wrote',
    rules: unordered,
    corrupt: toOneThat(isAlone, (one, draft, random) => {
      const key = pick(
        KEYS.filter(each => !one.wrote.has(each) && draft.transactions.some(({ wrote }) => wrote.has(each))),
        random,
      )!
      commitOf(draft, one).changes.push(put(key, one.revision!, 'stray') as Deep<Change>)
    }),
  },
  {
    title: 'what a transaction wrote that failed is stored',
    rules: ['transaction-misplaced'],
    corrupt: toOneThat(
      one => one.outcome === 'failed',
      (one, draft) => {
        const [[key, value]] = [...one.wrote] as [[string, string]]
        append(draft, key, value)
      },
    ),
  },
  {
    title: 'a transaction that is stored is said to have failed',
    rules: ['transaction-misplaced'],
    corrupt: toOneThat(
      (one, draft) => isAlone(one, draft) && [...one.wrote.values()].some(value => value !== undefined),
      one => {
        one.outcome = 'failed'
        delete one.revision
      },
    ),
  },
  {
    title: 'what a transaction wrote is stored a second time',
    rules: ['transaction-misplaced'],
    corrupt: toOneThat(
      one => writes(one) && [...one.wrote.values()].some(value => value !== undefined),
      (one, draft) => {
        const [key, value] = [...one.wrote].find(([, wrote]) => wrote !== undefined)!
        append(draft, key, value!)
      },
    ),
  },
  {
    title: 'a run that was given up is stored',
    rules: ['discarded-run-applied'],
    corrupt: toOneThat(
      ({ discarded }) => discarded.length > 0,
      ({ discarded }, draft, random) => append(draft, pick(KEYS, random)!, discarded[0]!),
    ),
  },
  {
    title: 'a transaction that only reads is told of the past',
    rules: ['transaction-from-the-past'],
    corrupt: toOneThat(
      (one, draft) => {
        const { revision } = draft.history.log.at(-1)!
        // Somebody was told of the last commit.
        return (
          onlyReads(one) && draft.transactions.some(other => writes(other) && other.revision === revision)
        )
      },
      (one, draft, random) => {
        one.revision = draft.history.log.at(-1)!.revision - BigInt(integer(random, 1, 4))
        const state = stateAfter(draft, one.revision)
        one.seen = KEYS.map(key => saw(key, state.get(key)) as One['seen'][number])
        one.invokedAt = 10_000
        one.settledAt = 10_010
      },
    ),
  },
  {
    title: 'a transaction began when one behind it was over',
    rules: ['transaction-from-the-past'],
    corrupt: toOneThat(
      (one, draft) => isAlone(one, draft) && one.revision! < draft.history.log.at(-2)!.revision,
      (one, _, random) => {
        one.invokedAt = integer(random, 10_000, 20_000)
        one.settledAt = one.invokedAt + 10
      },
    ),
  },
]

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of transactions',
  good: drawn,
  check: ({ history: told, transactions }) => checkTransactions(told, transactions),
  kinds,
})
