/** What an object does, one call after the other. */
export interface Model<State, Input, Output> {
  readonly initial: State
  /**
   * The state after a call that gave this answer; `undefined` if it cannot have given it. Without an answer any is
   * as good: the call took effect, and nobody heard.
   */
  step(state: State, input: Input, output: Output | undefined): State | undefined
  /** The same for states that cannot be told apart. */
  key(state: State): string
}

export interface ObjectCall<Input, Output> {
  readonly id: string
  readonly input: Input
  /** Absent when nothing came back: it may have taken effect any time later, or never. */
  readonly output?: Output
  readonly invokedAt: number
  /** `Infinity` for a call that may take effect at any later time. */
  readonly settledAt: number
}

export type Verdict =
  | { readonly kind: 'linearizable'; readonly steps: number; readonly order: readonly string[] }
  | {
      readonly kind: 'not-linearizable'
      readonly steps: number
      /** The longest order that was found, and the calls that could not follow it. */
      readonly order: readonly string[]
      readonly stuck: readonly string[]
    }
  | { readonly kind: 'undecided'; readonly steps: number }

interface Node<Input, Output> {
  readonly call: ObjectCall<Input, Output> | undefined
  /** Which call, in the order they were invoked. */
  readonly number: number
  /** Of a call, its own return; `undefined` if it never returned. */
  readonly end: Node<Input, Output> | undefined
  before: Node<Input, Output> | undefined
  after: Node<Input, Output> | undefined
}

/**
 * Searches an order of all calls in which each takes effect between its invocation and its return, and every
 * answer is right: Wing and Gong's search, with Lowe's memory of what was tried. Invocations and returns stand in
 * one list by time. A call that fits is lifted out together with its return and put on a stack; at a return whose
 * call has not been lifted, the last one is put back where it was, and the search goes on behind it.
 *
 * `maxSteps` bounds the work, so that the verdict does not depend on the machine.
 */
export function linearize<State, Input, Output>(
  model: Model<State, Input, Output>,
  calls: readonly ObjectCall<Input, Output>[],
  maxSteps = 200_000,
): Verdict {
  const { head, ends } = timeline(calls)
  let waiting = ends
  let state = model.initial
  const lifted: { readonly node: Node<Input, Output>; readonly state: State }[] = []
  const tried = new Tried(calls.length)
  let longest: readonly string[] = []
  let stuck: readonly string[] = []
  let steps = 0
  let node = head.after
  while (waiting > 0) {
    steps += 1
    if (steps > maxSteps) return { kind: 'undecided', steps }
    if (node?.call !== undefined) {
      const { input, output } = node.call
      const next = model.step(state, input, output)
      if (next !== undefined && tried.add(node.number, model.key(next))) {
        lifted.push({ node, state })
        state = next
        if (node.end !== undefined) waiting -= 1
        lift(node)
        node = head.after
      } else node = node.after
      continue
    }
    // A return nobody can be the last before, or nothing is left to try: take back the last that fitted.
    if (lifted.length >= longest.length) {
      longest = lifted.map(({ node: { call } }) => call!.id)
      stuck = openCalls(head)
    }
    const last = lifted.pop()
    if (last === undefined) return { kind: 'not-linearizable', steps, order: longest, stuck }
    state = last.state
    tried.remove(last.node.number)
    if (last.node.end !== undefined) waiting += 1
    putBack(last.node)
    node = last.node.after
  }
  return { kind: 'linearizable', steps, order: lifted.map(({ node: { call } }) => call!.id) }
}

/** Invocations and returns by time; at one time invocations first, for they may have been at once. */
function timeline<Input, Output>(
  calls: readonly ObjectCall<Input, Output>[],
): { readonly head: Node<Input, Output>; readonly ends: number } {
  const head: Node<Input, Output> = {
    call: undefined,
    number: -1,
    end: undefined,
    before: undefined,
    after: undefined,
  }
  const marks: { readonly at: number; readonly node: Node<Input, Output> }[] = []
  const invoked = calls.toSorted((one, other) => one.invokedAt - other.invokedAt)
  let ends = 0
  invoked.forEach((call, number) => {
    // Without an answer it need not have happened, whenever the waiting ended.
    const returns = call.settledAt !== Infinity && call.output !== undefined
    const end: Node<Input, Output> | undefined = returns
      ? { call: undefined, number, end: undefined, before: undefined, after: undefined }
      : undefined
    marks.push({ at: call.invokedAt, node: { call, number, end, before: undefined, after: undefined } })
    if (end === undefined) return
    ends += 1
    marks.push({ at: call.settledAt, node: end })
  })
  marks.sort((one, other) => one.at - other.at || rank(one.node) - rank(other.node))
  let before = head
  for (const { node } of marks) {
    node.before = before
    before.after = node
    before = node
  }
  return { head, ends }
}

function rank({ call }: Node<unknown, unknown>): number {
  return call === undefined ? 1 : 0
}

function lift(node: Node<unknown, unknown>): void {
  unlink(node)
  if (node.end !== undefined) unlink(node.end)
}

/** Its neighbours are again those it had: whatever was lifted later has been put back. */
function putBack(node: Node<unknown, unknown>): void {
  if (node.end !== undefined) link(node.end)
  link(node)
}

function unlink(node: Node<unknown, unknown>): void {
  node.before!.after = node.after
  if (node.after !== undefined) node.after.before = node.before
}

function link(node: Node<unknown, unknown>): void {
  node.before!.after = node
  if (node.after !== undefined) node.after.before = node
}

/** Invoked before the first return that is left: one of them would have to be next. */
function openCalls(head: Node<unknown, unknown>): readonly string[] {
  const open: string[] = []
  for (let node = head.after; node?.call !== undefined; node = node.after) open.push(node.call.id)
  return open
}

interface Configuration {
  readonly low: number
  readonly words: Int32Array
  readonly state: string
}

/** Which calls are lifted now, and with which of such sets and states the search has been before. */
class Tried {
  readonly #words: Int32Array
  readonly #seen = new Map<number, Configuration | Configuration[]>()
  #hash = 0
  /** All words below are full, all from `#high` on are empty. */
  #low = 0
  #high = 0

  constructor(calls: number) {
    this.#words = new Int32Array((calls >> 5) + 1)
  }

  /** Adds a call, if that leads where the search has not been. */
  add(number: number, state: string): boolean {
    this.#flip(number)
    const words = this.#words
    this.#high = Math.max(this.#high, (number >> 5) + 1)
    while (words[this.#low] === -1) this.#low += 1
    const configuration = { low: this.#low, words: words.slice(this.#low, this.#high), state }
    const hash = this.#hash
    const seen = this.#seen.get(hash)
    if (seen === undefined) {
      this.#seen.set(hash, configuration)
      return true
    }
    const list = Array.isArray(seen) ? seen : [seen]
    if (list.some(other => isSame(other, configuration))) {
      this.remove(number)
      return false
    }
    list.push(configuration)
    this.#seen.set(hash, list)
    return true
  }

  remove(number: number): void {
    this.#flip(number)
    this.#low = Math.min(this.#low, number >> 5)
    while (this.#high > 0 && this.#words[this.#high - 1] === 0) this.#high -= 1
  }

  #flip(number: number): void {
    this.#words[number >> 5]! ^= 1 << (number & 31)
    this.#hash ^= scramble(number)
  }
}

function isSame(one: Configuration, other: Configuration): boolean {
  if (one.state !== other.state || one.low !== other.low || one.words.length !== other.words.length)
    return false
  return one.words.every((word, each) => word === other.words[each])
}

/** Spreads neighbouring numbers over all 32 bits. */
function scramble(number: number): number {
  let mixed = Math.imul(number + 1, 0x9e3779b1)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b)
  return mixed ^ (mixed >>> 13)
}
