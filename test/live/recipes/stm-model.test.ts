import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import {
  between,
  type Etcd,
  everything,
  from,
  type Isolation,
  type KeyRange,
  prefix,
  type Transaction,
  type TransactionReads,
} from '../../../src/index.ts'
import { concat, mapKey, prefixEnd, toBytes } from '../../../src/wire/bytes.ts'
import type { TxnRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { series, uniquePrefix, useEtcd } from '../../support/live.ts'
import { type Player, player, turns } from '../../traits/arena.ts'

const server = useEtcd(test)

const RUNS = Number(process.env.QUORATE_STM_CASES ?? (series() === 'embedded' ? 60 : 20))

/** A key all keys of scripts are behind: the number of transactions so far. */
const CLOCK = Uint8Array.of(0)
/** Where markers go: behind the clock, and before all that scripts see. */
const MARKERS = Uint8Array.of(0, 0)
const KEYS = [
  [1],
  [1, 0],
  [97],
  [97, 0],
  [97, 0, 0],
  [97, 98],
  [97, 255],
  [97, 255, 255],
  [98],
  [255],
  [255, 255],
]

type Span =
  | { readonly kind: 'prefix'; readonly start: readonly number[] }
  | { readonly kind: 'from'; readonly start: readonly number[] }
  | { readonly kind: 'between'; readonly start: readonly number[]; readonly end: readonly number[] }
  | { readonly kind: 'everything' }

type Step =
  | { readonly kind: 'get' | 'has' | 'revision' | 'delete'; readonly key: readonly number[] }
  | { readonly kind: 'getMany'; readonly keys: readonly (readonly number[])[] }
  | { readonly kind: 'put'; readonly key: readonly number[]; readonly value: number }
  | { readonly kind: 'range' | 'snapshot'; readonly span: Span; readonly limit: number }
  | { readonly kind: 'delete range'; readonly span: Span }
  | { readonly kind: 'idle'; readonly ms: number }
  | {
      readonly kind: 'either'
      readonly first: readonly Step[]
      readonly retries: boolean
      readonly second: readonly Step[]
    }

interface Script {
  readonly steps: readonly Step[]
  readonly end: 'write' | 'read' | 'throw'
  /** Which client, and through a namespace of it? */
  readonly client: number
  readonly view: 'root' | 'namespace'
  readonly isolation: Isolation
  readonly exactlyOnce: boolean
  /** Waits until the clock is as far. */
  readonly since: number
}

/** What a script can do, to the store or to a model of it. */
interface Machine {
  get(key: readonly number[]): Promise<string | undefined>
  getMany(keys: readonly (readonly number[])[]): Promise<readonly (string | undefined)[]>
  range(kind: 'range' | 'snapshot', span: Span, limit: number): Promise<readonly string[]>
  has(key: readonly number[]): Promise<boolean>
  revision(key: readonly number[]): Promise<unknown>
  put(key: readonly number[], value: string): void
  delete(key: readonly number[]): void
  deleteRange(span: Span): void
  idle(ms: number): Promise<void>
  either(
    first: (machine: Machine) => Promise<boolean>,
    second: (machine: Machine) => Promise<unknown>,
  ): Promise<void>
}

/** Takes all steps, tells what was seen, undoings included. */
async function follow(steps: readonly Step[], machine: Machine, seen: unknown[]): Promise<void> {
  for (const step of steps) {
    switch (step.kind) {
      case 'get':
        seen.push(await machine.get(step.key))
        break
      case 'has':
        seen.push(await machine.has(step.key))
        break
      case 'revision':
        seen.push(await machine.revision(step.key))
        break
      case 'getMany':
        seen.push(await machine.getMany(step.keys))
        break
      case 'range':
      case 'snapshot':
        seen.push(await machine.range(step.kind, step.span, step.limit))
        break
      case 'put':
        machine.put(step.key, String(step.value))
        break
      case 'delete':
        machine.delete(step.key)
        break
      case 'delete range':
        machine.deleteRange(step.span)
        break
      case 'idle':
        await machine.idle(step.ms)
        break
      case 'either':
        await machine.either(
          async one => {
            await follow(step.first, one, seen)
            return !step.retries
          },
          other => follow(step.second, other, seen),
        )
    }
  }
}

/** The transaction itself, below a prefix or in a namespace. */
class Real implements Machine {
  readonly #tx: Transaction
  readonly #below: Uint8Array | undefined

  /** `below`: what keys begin with; undefined in a namespace, which sees to that. */
  constructor(tx: Transaction, below: Uint8Array | undefined) {
    this.#tx = tx
    this.#below = below
  }

  async get(key: readonly number[]): Promise<string | undefined> {
    return (await this.#tx.get(this.#key(key)))?.text()
  }

  async getMany(keys: readonly (readonly number[])[]): Promise<readonly (string | undefined)[]> {
    return (await this.#tx.getMany(keys.map(key => this.#key(key)))).map(kv => kv?.text())
  }

  async range(kind: 'range' | 'snapshot', span: Span, limit: number): Promise<readonly string[]> {
    const reads: TransactionReads = kind === 'range' ? this.#tx : this.#tx.snapshot
    const found = await reads.range(this.#range(span), { limit })
    const skipped = this.#below?.length ?? 0
    return found.map(kv => `${mapKey(kv.key.subarray(skipped))}=${kv.text()}`)
  }

  has(key: readonly number[]): Promise<boolean> {
    return this.#tx.has(this.#key(key))
  }

  revision(key: readonly number[]): Promise<bigint> {
    return this.#tx.revision(this.#key(key))
  }

  put(key: readonly number[], value: string): void {
    this.#tx.put(this.#key(key), value)
  }

  delete(key: readonly number[]): void {
    this.#tx.delete(this.#key(key))
  }

  deleteRange(span: Span): void {
    if (span.kind === 'prefix') this.#tx.deletePrefix(this.#key(span.start))
    else this.#tx.delete(this.#range(span))
  }

  idle(ms: number): Promise<void> {
    return ms === 0 ? turns(1) : new Promise(resolve => setTimeout(resolve, ms))
  }

  async either(
    first: (machine: Machine) => Promise<boolean>,
    second: (machine: Machine) => Promise<unknown>,
  ): Promise<void> {
    await this.#tx.orElse(
      async one => one.check(await first(new Real(one, this.#below))),
      other => second(new Real(other, this.#below)),
    )
  }

  #key(key: readonly number[]): Uint8Array {
    const bytes = Uint8Array.from(key)
    return this.#below === undefined ? bytes : concat(this.#below, bytes)
  }

  #range(span: Span): KeyRange {
    switch (span.kind) {
      case 'prefix':
        return prefix(this.#key(span.start))
      case 'between':
        return between(this.#key(span.start), this.#key(span.end))
      case 'from':
        return this.#below === undefined
          ? from(this.#key(span.start))
          : between(this.#key(span.start), prefixEnd(this.#below))
      case 'everything':
        return this.#below === undefined ? everything : prefix(this.#below)
    }
  }
}

interface Cell {
  readonly value: string
  /** The number of the transaction that wrote it; undefined for the one under way. */
  readonly by: number | undefined
}

/** What a transaction should be. */
class Model implements Machine {
  cells: Map<string, Cell>
  readonly #base: ReadonlyMap<string, Cell>

  constructor(cells: Map<string, Cell>, base: ReadonlyMap<string, Cell>) {
    this.cells = cells
    this.#base = base
  }

  async get(key: readonly number[]): Promise<string | undefined> {
    return this.cells.get(nameOf(key))?.value
  }

  async getMany(keys: readonly (readonly number[])[]): Promise<readonly (string | undefined)[]> {
    return keys.map(key => this.cells.get(nameOf(key))?.value)
  }

  async range(_kind: 'range' | 'snapshot', span: Span, limit: number): Promise<readonly string[]> {
    const found = this.#in(span).map(key => `${key}=${this.cells.get(key)?.value}`)
    return limit === 0 ? found : found.slice(0, limit)
  }

  async has(key: readonly number[]): Promise<boolean> {
    return this.cells.has(nameOf(key))
  }

  async revision(key: readonly number[]): Promise<{ readonly writtenBy: number | undefined }> {
    return { writtenBy: this.#base.get(nameOf(key))?.by }
  }

  put(key: readonly number[], value: string): void {
    this.cells.set(nameOf(key), { value, by: undefined })
  }

  delete(key: readonly number[]): void {
    this.cells.delete(nameOf(key))
  }

  deleteRange(span: Span): void {
    for (const key of this.#in(span)) this.cells.delete(key)
  }

  async idle(): Promise<void> {}

  async either(
    first: (machine: Machine) => Promise<boolean>,
    second: (machine: Machine) => Promise<unknown>,
  ): Promise<void> {
    const before = new Map(this.cells)
    if (await first(this)) return
    this.cells = before
    await second(this)
  }

  #in(span: Span): string[] {
    return [...this.cells.keys()].filter(key => isIn(span, key)).sort()
  }
}

function nameOf(key: readonly number[]): string {
  return mapKey(Uint8Array.from(key))
}

function isIn(span: Span, key: string): boolean {
  switch (span.kind) {
    case 'prefix':
      return key.startsWith(nameOf(span.start))
    case 'from':
      return key >= nameOf(span.start)
    case 'between':
      return key >= nameOf(span.start) && key < nameOf(span.end)
    case 'everything':
      return true
  }
}

const keys = fc.constantFrom(...KEYS)
const closed: fc.Arbitrary<Span> = fc.oneof(
  keys.map(start => ({ kind: 'prefix' as const, start })),
  keys.map(start => ({ kind: 'from' as const, start })),
  fc
    .tuple(keys, keys)
    .filter(([one, other]) => nameOf(one) !== nameOf(other))
    .map(([one, other]) => {
      const [start, end] = nameOf(one) < nameOf(other) ? [one, other] : [other, one]
      return { kind: 'between' as const, start: start!, end: end! }
    }),
)
const open: fc.Arbitrary<Span> = fc.oneof(
  { weight: 4, arbitrary: closed },
  { weight: 1, arbitrary: fc.constant({ kind: 'everything' as const }) },
)
const limits = fc.constantFrom(0, 0, 1, 2, 5)
function stepsOver(spans: fc.Arbitrary<Span>): fc.Arbitrary<readonly Step[]> {
  const plain: fc.Arbitrary<Step> = fc.oneof(
    { weight: 3, arbitrary: keys.map(key => ({ kind: 'get' as const, key })) },
    { weight: 1, arbitrary: keys.map(key => ({ kind: 'has' as const, key })) },
    { weight: 1, arbitrary: keys.map(key => ({ kind: 'revision' as const, key })) },
    {
      weight: 1,
      arbitrary: fc.array(keys, { maxLength: 4 }).map(many => ({ kind: 'getMany' as const, keys: many })),
    },
    {
      weight: 4,
      arbitrary: fc
        .tuple(fc.constantFrom('range' as const, 'range' as const, 'snapshot' as const), spans, limits)
        .map(([kind, span, limit]) => ({ kind, span, limit })),
    },
    {
      weight: 5,
      arbitrary: fc
        .tuple(keys, fc.integer({ min: 0, max: 1e6 }))
        .map(([key, value]) => ({ kind: 'put' as const, key, value })),
    },
    { weight: 2, arbitrary: keys.map(key => ({ kind: 'delete' as const, key })) },
    { weight: 2, arbitrary: closed.map(span => ({ kind: 'delete range' as const, span })) },
    { weight: 1, arbitrary: fc.constantFrom(0, 0, 1, 6).map(ms => ({ kind: 'idle' as const, ms })) },
  )
  return fc.letrec<{ steps: readonly Step[]; step: Step }>(tie => ({
    steps: fc.array(tie('step'), { maxLength: 7 }),
    step: fc.oneof(
      { maxDepth: 2, depthIdentifier: 'either' },
      { weight: 8, arbitrary: plain },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fc.array(plain, { maxLength: 4 }), fc.boolean(), tie('steps'))
          .map(([first, retries, second]) => ({ kind: 'either' as const, first, retries, second })),
      },
    ),
  })).steps
}

function scripts(isolation: fc.Arbitrary<Isolation>, spans = closed): fc.Arbitrary<Script> {
  return fc
    .record({
      steps: stepsOver(spans),
      end: fc.constantFrom('write', 'write', 'write', 'read', 'throw'),
      client: fc.nat(1),
      view: fc.constantFrom('root', 'namespace'),
      isolation,
      exactlyOnce: fc.boolean(),
      since: fc.constantFrom(0, 0, 0, 1, 2),
    })
    .map(script => (script.end === 'read' ? { ...script, steps: readsOf(script.steps) } : script))
}

function readsOf(steps: readonly Step[]): readonly Step[] {
  return steps.flatMap((step): readonly Step[] => {
    switch (step.kind) {
      case 'put':
      case 'delete':
      case 'delete range':
        return []
      case 'either':
        return [{ ...step, first: readsOf(step.first), second: readsOf(step.second) }]
      default:
        return [step]
    }
  })
}

class Thrown extends Error {}

/** What the last run of a script came to. */
interface Played {
  readonly script: Script
  /** The number it is. One that only reads, or throws, comes behind the one with the same number. */
  readonly at: number
  readonly seen: readonly unknown[]
  readonly revision: bigint | undefined
}

async function play(script: Script, etcd: Etcd, root: Uint8Array): Promise<Played> {
  const below = script.view === 'root' ? root : undefined
  const client = below === undefined ? etcd.namespace(root) : etcd
  let seen: unknown[] = []
  let at = 0
  const fn = async (tx: Transaction) => {
    seen = []
    const clock = below === undefined ? CLOCK : concat(below, CLOCK)
    at = Number((await tx.get(clock))?.text() ?? 0)
    tx.check(at >= script.since)
    await follow(script.steps, new Real(tx, below), seen)
    if (script.end === 'throw') throw new Thrown()
    if (script.end !== 'write') return
    at += 1
    tx.put(clock, String(at))
  }
  const { isolation, exactlyOnce } = script
  try {
    const { revision } = await client.stm(fn, {
      isolation,
      exactlyOnce: exactlyOnce && { prefix: below === undefined ? MARKERS : concat(below, MARKERS) },
    })
    return { script, at, seen, revision }
  } catch (error) {
    if (!(error instanceof Thrown)) throw error
    return { script, at, seen, revision: undefined }
  }
}

/** As if one had run after the other. */
async function judge(t: ExecutionContext, played: readonly Played[], stored: ReadonlyMap<string, string>) {
  const writers = played
    .filter(({ script }) => script.end === 'write')
    .sort((one, other) => one.at - other.at)
  t.deepEqual(
    writers.map(({ at }) => at),
    writers.map((_, index) => index + 1),
  )
  const revisions = new Map(writers.map(({ at, revision }) => [at, revision]))
  let cells = new Map<string, Cell>()
  const states = [cells]
  const check = async ({ script, seen }: Played, before: ReadonlyMap<string, Cell>) => {
    const model = new Model(new Map(before), before)
    const expected: unknown[] = []
    await follow(script.steps, model, expected)
    t.deepEqual(
      seen,
      expected.map(one => (isWriter(one) ? revisionOf(one, revisions) : one)),
    )
    return model
  }
  for (const one of writers) {
    const model = await check(one, cells)
    cells = new Map([...model.cells].map(([key, { value, by }]) => [key, { value, by: by ?? one.at }]))
    cells.set(mapKey(CLOCK), { value: String(one.at), by: one.at })
    states.push(cells)
  }
  for (const one of played) if (one.script.end !== 'write') await check(one, states[one.at]!)
  t.deepEqual(
    [...stored].sort(),
    [...cells].map(([key, { value }]) => [key, value] as [string, string]).sort(),
  )
}

function isWriter(one: unknown): one is { readonly writtenBy: number | undefined } {
  return typeof one === 'object' && one !== null && 'writtenBy' in one
}

function revisionOf(
  { writtenBy }: { readonly writtenBy: number | undefined },
  revisions: ReadonlyMap<number, bigint | undefined>,
): bigint | undefined {
  return writtenBy === undefined ? 0n : revisions.get(writtenBy)
}

async function storedBelow(etcd: Etcd, root: Uint8Array): Promise<ReadonlyMap<string, string>> {
  const { kvs } = await etcd.range(prefix(root))
  return new Map(
    kvs
      .map(kv => [mapKey(kv.key.subarray(root.length)), kv.text()] as const)
      .filter(([key]) => !key.startsWith(mapKey(MARKERS))),
  )
}

/** Commits are lost on their way there or back, or come late; each is as good as any other. */
function meddle({ net }: Player, chances: readonly number[]): { end(): Promise<void> } {
  const trap = net.stopRequests(
    methods.txn,
    ({ success, compare }: TxnRequest) =>
      success.some(({ request }) => request?.kind === 'put' && request.value.lease > 0n) &&
      compare.length > 0,
  )
  const late: (() => Promise<unknown>)[] = []
  let isOver = false
  const working = (async () => {
    for (let index = 0; ; index++) {
      const call = await trap.caught(index + 1)
      if (isOver) return
      switch (chances[index]) {
        case 0:
          await call.apply()
          call.lose()
          break
        case 1:
          call.lose()
          late.push(() => call.apply())
          break
        default:
          void call.deliver()
      }
    }
  })()
  working.catch(() => {})
  return {
    end: async () => {
      isOver = true
      trap.off()
      for (const apply of late) await apply().catch(() => {})
    },
  }
}

test('one transaction alone sees what a map would show, at every level', async t => {
  t.timeout(120_000)
  const { etcd } = await player(t, server())
  const p = uniquePrefix(t)
  let count = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        scripts(
          fc.constantFrom<Isolation>(
            'serializable-snapshot',
            'serializable',
            'repeatable-reads',
            'read-committed',
          ),
          open,
        ),
        { minLength: 1, maxLength: 4 },
      ),
      async given => {
        const root = concat(toBytes(`${p}${count++}`), Uint8Array.of(255))
        const played: Played[] = []
        for (const script of given)
          played.push(await play({ ...script, exactlyOnce: false, since: 0 }, etcd, root))
        await judge(t, played, await storedBelow(etcd, root))
      },
    ),
    { numRuns: 2 * RUNS },
  )
})

test('transactions of two clients at once are as if one ran after the other', async t => {
  t.timeout(300_000)
  const players = [await player(t, server()), await player(t, server())] as const
  const p = uniquePrefix(t)
  let count = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(scripts(fc.constantFrom<Isolation>('serializable-snapshot', 'serializable')), {
        minLength: 2,
        maxLength: 16,
      }),
      async given => {
        const root = concat(toBytes(`${p}${count++}`), Uint8Array.of(255))
        const atLeast = given.filter(({ end, since }) => end === 'write' && since === 0).length
        const played = await Promise.all(
          given.map(script =>
            play({ ...script, since: Math.min(script.since, atLeast) }, players[script.client]!.etcd, root),
          ),
        )
        await judge(t, played, await storedBelow(players[0].etcd, root))
      },
    ),
    { numRuns: RUNS },
  )
})

test('transactions that find out what became of their commits are made exactly once', async t => {
  t.timeout(300_000)
  const players = [await player(t, server()), await player(t, server())] as const
  const p = uniquePrefix(t)
  let count = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(scripts(fc.constantFrom<Isolation>('serializable-snapshot', 'serializable')), {
        minLength: 2,
        maxLength: 8,
      }),
      fc.array(fc.nat(2), { maxLength: 12 }),
      async (given, chances) => {
        const root = concat(toBytes(`${p}${count++}`), Uint8Array.of(255))
        const meddling = players.map(one => meddle(one, chances))
        const atLeast = given.filter(({ end, since }) => end === 'write' && since === 0).length
        const played = await Promise.all(
          given.map(script =>
            play(
              { ...script, exactlyOnce: true, since: Math.min(script.since, atLeast) },
              players[script.client]!.etcd,
              root,
            ),
          ),
        )
        for (const one of meddling) await one.end()
        await judge(t, played, await storedBelow(players[0].etcd, root))
      },
    ),
    { numRuns: Math.ceil(RUNS / 2) },
  )
})
