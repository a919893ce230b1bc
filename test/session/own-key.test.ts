import test from 'ava'
import type { Engine } from '../../src/client/engine.ts'
import { OwnKeys } from '../../src/session/own-keys.ts'
import { AbortFanOut } from '../../src/support/abort.ts'

function keys() {
  const over = new AbortController()
  const closing = new AbortController()
  const engine = { aborts: new AbortFanOut() } as Partial<Engine> as Engine
  const ownKeys = new OwnKeys({
    engine,
    signal: over.signal,
    closing: closing.signal,
    resumed: false,
    background: () => {},
  })
  return { ownKeys, closing }
}

test('one key is one turn, whatever bytes it is spelled with', async t => {
  const { ownKeys } = keys()
  const own = ownKeys.of(Buffer.from('lock/1'))
  t.is(ownKeys.of(new TextEncoder().encode('lock/1')), own)
  t.not(ownKeys.of(Buffer.from('lock/2')), own)
  const turn = own.tryEnter()
  t.truthy(turn)
  t.is(own.tryEnter(), undefined)
  const order: number[] = []
  const waiting = [1, 2, 3].map(async n => {
    const next = await own.enter()
    order.push(n)
    next.end()
    next.end()
  })
  turn?.end()
  await Promise.all(waiting)
  t.deepEqual(order, [1, 2, 3])
})

test('a token that was given is never adopted, a later creation may be', t => {
  const { ownKeys } = keys()
  const own = ownKeys.of(Buffer.from('lock/1'))
  t.true(own.mayAdopt(10n), 'nobody was told anything')
  own.granted(10n)
  t.false(own.mayAdopt(10n))
  t.false(own.mayAdopt(9n))
  t.true(own.mayAdopt(11n))
  own.granted(9n)
  t.false(own.mayAdopt(10n), 'memory does not go back')
})

test('a key nobody deals with is forgotten', async t => {
  const { ownKeys } = keys()
  const own = ownKeys.of(Buffer.from('lock/1'))
  const turn = own.tryEnter()
  const waiting = own.enter()
  turn?.end()
  t.is(ownKeys.size, 1)
  ;(await waiting).end()
  t.is(ownKeys.size, 0)
})

test('who gives up passes its turn on', async t => {
  const { ownKeys } = keys()
  const own = ownKeys.of(Buffer.from('lock/1'))
  const turn = own.tryEnter()
  const leaving = new AbortController()
  const left = t.throwsAsync(own.enter(leaving.signal), { message: 'leaves' })
  const next = own.enter()
  leaving.abort(new Error('leaves'))
  await left
  turn?.end()
  ;(await next).end()
  t.is(ownKeys.size, 0)
  await t.throwsAsync(own.enter(leaving.signal), { message: 'leaves' })
})

test('whoever gives up is no longer there when the turn is passed on, however many there were', async t => {
  const { ownKeys } = keys()
  const own = ownKeys.of(Buffer.from('lock/1'))
  const turn = own.tryEnter()
  const leaving = new AbortController()
  const left = Array.from({ length: 1000 }, () => t.throwsAsync(own.enter(leaving.signal)))
  const next = own.enter()
  leaving.abort(new Error('leaves'))
  await Promise.all(left)
  turn?.end()
  let isNext = false
  void next.then(() => {
    isNext = true
  })
  // One turn of the queue of promises: there is nobody to be passed over.
  await undefined
  t.true(isNext)
  t.is(own.tryEnter(), undefined)
  ;(await next).end()
  t.is(ownKeys.size, 0)
})

test('nobody waits for a key once the session closes', async t => {
  const { ownKeys, closing } = keys()
  const own = ownKeys.of(Buffer.from('lock/1'))
  own.tryEnter()
  const waiting = t.throwsAsync(own.enter(), { message: 'closes' })
  closing.abort(new Error('closes'))
  await waiting
  await t.throwsAsync(own.enter(), { message: 'closes' })
})
