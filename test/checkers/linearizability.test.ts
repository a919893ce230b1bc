import test from 'ava'
import { type Random, seeded } from './good-history.ts'
import { linearize, type Model, type ObjectCall } from './linearizability.ts'
import {
  exclusiveCounterModel,
  lockModel,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
} from './models.ts'

/** Tries every order: right beyond doubt, and only good for a few calls. */
function fitsSomeOrder<State, Input, Output>(
  model: Model<State, Input, Output>,
  calls: readonly ObjectCall<Input, Output>[],
  state: State = model.initial,
): boolean {
  const owed = calls.filter(({ settledAt, output }) => settledAt !== Infinity && output !== undefined)
  if (owed.length === 0) return true
  const firstEnd = Math.min(...owed.map(({ settledAt }) => settledAt))
  return calls.some(call => {
    if (call.invokedAt > firstEnd) return false
    const next = model.step(state, call.input, call.output)
    return (
      next !== undefined &&
      fitsSomeOrder(
        model,
        calls.filter(other => other !== call),
        next,
      )
    )
  })
}

function randomRegisterCalls(random: Random): ObjectCall<RegisterInput, RegisterOutput>[] {
  const value = () => ['x', 'y', undefined][Math.floor(random() * 3)]
  return Array.from({ length: 1 + Math.floor(random() * 6) }, (_, each) => {
    const invokedAt = Math.floor(random() * 10)
    const times = { id: `${each}`, invokedAt, settledAt: invokedAt + Math.floor(random() * 8) }
    const unheard = random() < 0.15
    const kind = random()
    const call: { input: RegisterInput; output: RegisterOutput } =
      kind < 0.4
        ? { input: { kind: 'write', value: value() }, output: { kind: 'written' } }
        : kind < 0.8
          ? { input: { kind: 'read' }, output: { kind: 'found', value: value() } }
          : {
              input: { kind: 'compare-and-set', expected: value(), value: 'x' },
              output: { kind: 'compared', succeeded: random() < 0.5 },
            }
    return unheard ? { ...times, input: call.input, settledAt: Infinity } : { ...times, ...call }
  })
}

test('the search says what trying every order says', t => {
  const random = seeded(7)
  const verdicts = { linearizable: 0, 'not-linearizable': 0, undecided: 0 }
  for (let round = 0; round < 3000; round += 1) {
    const calls = randomRegisterCalls(random)
    const { kind } = linearize(registerModel, calls)
    verdicts[kind] += 1
    if ((kind === 'linearizable') === fitsSomeOrder(registerModel, calls)) continue
    t.fail(`${kind}: ${JSON.stringify(calls)}`)
    return
  }
  t.true(verdicts.linearizable > 500)
  t.true(verdicts['not-linearizable'] > 500)
  t.is(verdicts.undecided, 0)
})

test('the order that is found is one that fits', t => {
  const random = seeded(8)
  for (let round = 0; round < 500; round += 1) {
    const calls = randomRegisterCalls(random)
    const verdict = linearize(registerModel, calls)
    if (verdict.kind !== 'linearizable') continue
    let state: { readonly value: string | undefined } | undefined = registerModel.initial
    for (const id of verdict.order) {
      const { input, output } = calls.find(call => call.id === id)!
      state = state && registerModel.step(state, input, output)
    }
    t.not(state, undefined)
  }
})

test('a lost increment fits into no order, one that nobody heard of may be missing', t => {
  const increment = { kind: 'increment' as const }
  const one = { id: 'one', input: increment, output: 0, invokedAt: 0, settledAt: 5 }
  const two = { id: 'two', input: increment, output: 0, invokedAt: 1, settledAt: 6 }
  t.is(linearize(exclusiveCounterModel, [one, two]).kind, 'not-linearizable')
  t.is(linearize(exclusiveCounterModel, [one, { ...two, output: 1 }]).kind, 'linearizable')
  const { output: _, ...unheard } = { ...two, settledAt: Infinity }
  const last = { id: 'last', input: increment, invokedAt: 9, settledAt: 10 }
  t.is(linearize(exclusiveCounterModel, [one, unheard, { ...last, output: 1 }]).kind, 'linearizable')
  t.is(linearize(exclusiveCounterModel, [one, unheard, { ...last, output: 2 }]).kind, 'linearizable')
  t.is(linearize(exclusiveCounterModel, [one, unheard, { ...last, output: 3 }]).kind, 'not-linearizable')
})

test('an attempt that found a lock taken proves that somebody had it', t => {
  const call = (id: string, kind: 'acquire' | 'try' | 'release', output: 'done' | 'taken', at: number) => ({
    id,
    input: { kind, owner: id[0]! },
    output,
    invokedAt: at,
    settledAt: at + 1,
  })
  const taken = [
    call('a', 'acquire', 'done', 0),
    call('b', 'try', 'taken', 2),
    call('a2', 'release', 'done', 4),
  ]
  t.is(linearize(lockModel, taken).kind, 'linearizable')
  t.is(linearize(lockModel, [...taken, call('c', 'try', 'taken', 6)]).kind, 'not-linearizable')
})

test('ten thousand calls that follow each other are no trouble, ten at a time neither', t => {
  for (const width of [1, 10]) {
    const calls = Array.from({ length: 10_000 }, (_, each) => ({
      id: `${each}`,
      input: { kind: 'increment' as const },
      output: each,
      invokedAt: each,
      settledAt: each + width - 0.5,
    }))
    const verdict = linearize(exclusiveCounterModel, calls, 10_000_000)
    t.is(verdict.kind, 'linearizable')
  }
})
