import test from 'ava'
import { exact } from './assumptions.ts'
import {
  type Corruption,
  type Draft,
  type Grant,
  goneAt,
  grantRules,
  grantsOf,
  pick,
  released,
  rulesOf,
  tellsCorruptions,
} from './corrupt.ts'
import { type Random, seeded } from './good-history.ts'
import { acquisition, history } from './hand-written.ts'
import { linearize, type Model, type ObjectCall } from './linearizability.ts'
import { checkLinearizableBelief } from './linearizable-belief.ts'
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

const bad = {
  rules: ['belief-not-linearizable'],
  also: grantRules,
}

function pairs(draft: Draft): { grant: Grant; next: Grant }[] {
  return released(draft).flatMap(({ grant, next }) =>
    next !== undefined &&
    grant.believedUntil! > grant.settledAt + 2 &&
    (next.believedUntil ?? 0) > next.settledAt + 6 &&
    !draft.stalls.some(({ process }) => process === grant.process || process === next.process) &&
    !draft.interventions.some(({ keys }) => keys.includes(grant.key) || keys.includes(next.key))
      ? [{ grant, next }]
      : [],
  )
}

function both(change: (grant: Grant, next: Grant, draft: Draft) => void): Corruption['corrupt'] {
  return (draft, random) => {
    const pair = pick(pairs(draft), random)
    if (pair === undefined) return false
    change(pair.grant, pair.next, draft)
    return true
  }
}

const corruptions: readonly Corruption[] = [
  {
    title: 'a belief outlasts the next grant a little',
    ...bad,
    corrupt: both((grant, next) => {
      grant.believedUntil = next.settledAt + 0.5
    }),
  },
  {
    title: 'a belief outlasts the next belief',
    ...bad,
    corrupt: both((grant, next) => {
      grant.believedUntil = next.believedUntil! + 5
    }),
  },
  {
    title: 'a belief outlasts all others by far',
    ...bad,
    corrupt: both(grant => {
      grant.believedUntil = 1e6
    }),
  },
  {
    title: 'a belief never ends',
    ...bad,
    corrupt: both(grant => {
      delete grant.believedUntil
    }),
  },
  {
    title: 'the next is granted before a belief ends',
    ...bad,
    corrupt: both((grant, next) => {
      next.settledAt = grant.believedUntil! - 0.5
    }),
  },
  {
    title: 'two are granted at one instant',
    ...bad,
    corrupt: both((grant, next) => {
      next.settledAt = grant.settledAt
    }),
  },
  {
    title: 'the next is granted before the one ahead',
    ...bad,
    corrupt: both((grant, next) => {
      next.settledAt = grant.settledAt - 0.5
    }),
  },
  {
    title: 'one grant is believed by two',
    ...bad,
    corrupt: both((grant, _, draft) => {
      draft.acquisitions.push({ ...grant, id: 'double', process: 'double' })
    }),
  },
  {
    title: 'somebody with no place believes in between',
    ...bad,
    corrupt: both((grant, _, draft) => {
      draft.acquisitions.push({
        ...grant,
        id: 'stranger',
        key: 'stranger',
        process: 'stranger',
        settledAt: grant.settledAt + 0.5,
      })
    }),
  },
  {
    title: 'a belief covers those before it',
    ...bad,
    corrupt: both((grant, next) => {
      next.invokedAt = grant.invokedAt
      next.settledAt = grant.settledAt + 0.1
    }),
  },
  {
    title: 'one that stood still believed as if it had not',
    ...bad,
    corrupt(draft) {
      for (const grant of grantsOf(draft)) {
        const gone = goneAt(draft, grant)
        const next = grantsOf(draft).find(
          ({ line, settledAt, believedUntil, process }) =>
            line === grant.line &&
            settledAt > gone &&
            settledAt < grant.believedUntil! - 1 &&
            believedUntil! > settledAt &&
            !draft.stalls.some(stall => stall.process === process),
        )
        const stall = draft.stalls.find(
          ({ process, until }) => process === grant.process && until === grant.believedUntil,
        )
        if (next === undefined || stall === undefined) continue
        draft.stalls = draft.stalls.filter(other => other !== stall)
        return true
      }
      return false
    },
  },
  {
    title: 'the search is not given the steps it needs',
    rules: ['undecided'],
    assumptions: { maxSteps: 3 },
    corrupt: draft => grantsOf(draft).length > 8,
  },
]

tellsCorruptions('the search for an order of beliefs', checkLinearizableBelief, corruptions)

test('a hostile server makes nobody answer for what was believed', t => {
  const two = history({ acquisitions: [acquisition('l/a', 2n), acquisition('l/b', 3n)] })
  t.deepEqual(rulesOf(checkLinearizableBelief(two)), ['belief-not-linearizable'])
  t.deepEqual(checkLinearizableBelief(two)[0]!.involved.toSorted(), ['a2', 'a3'])
  t.deepEqual(checkLinearizableBelief(two, { ...exact, hostile: true }), [])
})
