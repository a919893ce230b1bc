import test from 'ava'
import { AbortFanOut } from '../../src/support/abort.ts'
import { Emitter } from '../../src/support/emitter.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'

test('a listener that throws harms neither whoever emits nor the listeners after it, and its error surfaces', t => {
  const { emitter, deferred } = arrange()
  const heard: number[] = []
  emitter.on('news', () => {
    throw new Error('of the listener')
  })
  emitter.on('news', news => heard.push(news))
  t.true(emitter.emit('news', 1))
  t.deepEqual(heard, [1])
  t.is(deferred.length, 1, 'on a turn of its own')
  t.throws(deferred[0]!, { message: 'of the listener' })
})

test('a listener is called until it stops listening, and who emits learns whether anybody was there', t => {
  const { emitter } = arrange()
  const heard: number[] = []
  t.false(emitter.emit('news', 0))
  const stop = emitter.on('news', news => heard.push(news))
  t.true(emitter.emit('news', 1))
  stop()
  t.false(emitter.emit('news', 2))
  t.deepEqual(heard, [1])
})

test('a listener that is no function is refused at once, not when there is something to tell', t => {
  const { emitter } = arrange()
  t.throws(() => emitter.on('news', undefined as never), { instanceOf: TypeError, message: /'news'/ })
  t.false(emitter.emit('news', 1))
})

test('whoever stops listening to a signal while others are told that it aborted hears nothing', t => {
  const aborts = new AbortFanOut()
  const controller = new AbortController()
  const heard: string[] = []
  let stopSecond = () => {}
  aborts.on(controller.signal, () => {
    heard.push('first')
    stopSecond()
  })
  stopSecond = aborts.on(controller.signal, () => heard.push('second'))
  aborts.on(controller.signal, () => heard.push('third'))
  controller.abort()
  t.deepEqual(heard, ['first', 'third'])
})

function arrange() {
  const runtime = new FakeRuntime()
  const deferred: (() => void)[] = []
  runtime.defer = action => void deferred.push(action)
  return { emitter: new Emitter<{ news: number }>(runtime), deferred }
}
