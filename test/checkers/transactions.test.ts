import test from 'ava'
import { history, put } from './hand-written.ts'
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
