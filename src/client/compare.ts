import { checkRevision } from '../support/options.ts'
import { type Bytes, ownBytes } from '../wire/bytes.ts'
import type { Init } from '../wire/codec.ts'
import { CompareResult, CompareTarget, type Compare as WireCompare } from '../wire/gen/rpc.g.ts'
import { type KeyRange, rangeOf } from './key-range.ts'
import type { KeySpace } from './key-space.ts'

type Target = 'version' | 'createRevision' | 'modRevision' | 'lease' | 'value'
type Relation = 'equals' | 'notEquals' | 'greaterThan' | 'lessThan'

interface Condition {
  readonly range: KeyRange
  /** Names a key as etcd has it, whatever namespace the transaction goes through. */
  readonly absolute: boolean
  readonly target: Target
  readonly relation: Relation
  readonly operand: bigint | Uint8Array
}

/**
 * What must hold for a transaction to take its `then` side; several conditions hold all together.
 *
 * A missing key compares as all zeros, except for its value, which equals nothing and differs from nothing. A
 * range holds if every key in it does, an empty one as a missing key.
 */
export class Compare {
  readonly #conditions: readonly Condition[]

  constructor(conditions: readonly Condition[]) {
    this.#conditions = conditions
  }

  /** Holds if each of them does. */
  static all(compares: readonly Compare[]): Compare {
    return new Compare(compares.flatMap(one => one.#conditions))
  }

  /** As it travels. */
  wire(space: KeySpace): readonly Init<WireCompare>[] {
    return this.#conditions.map(({ range, absolute, target, relation, operand }) => {
      const { key, end } = absolute ? range : space.span(range)
      return {
        key,
        rangeEnd: end,
        target: TARGETS[target],
        result: RELATIONS[relation],
        operand:
          target === 'value'
            ? { kind: 'value', value: operand as Uint8Array }
            : { kind: target, value: operand as bigint },
      }
    })
  }
}

export interface NumberTest {
  equals(operand: bigint): Compare
  notEquals(operand: bigint): Compare
  greaterThan(operand: bigint): Compare
  lessThan(operand: bigint): Compare
}

export interface ValueTest {
  equals(operand: Bytes): Compare
  notEquals(operand: Bytes): Compare
  greaterThan(operand: Bytes): Compare
  lessThan(operand: Bytes): Compare
}

/** What of a key, or of every key of a range, is compared. */
export interface CompareStart {
  /** Writes since the key was created; 0 for a missing key. */
  readonly version: NumberTest
  /** When the key was created; 0 for a missing key. */
  readonly createRevision: NumberTest
  /** When the key was last written; 0 for a missing key. */
  readonly modRevision: NumberTest
  /** The lease the key goes with; 0 for none. */
  readonly lease: NumberTest
  /** Compared byte by byte. */
  readonly value: ValueTest
}

/** `compare('k').version.equals(0n)`: does `k` not exist? */
export function compare(keyOrRange: Bytes | KeyRange): CompareStart {
  const range = rangeOf(keyOrRange)
  return {
    version: numberTest(range, 'version', false),
    createRevision: numberTest(range, 'createRevision', false),
    modRevision: numberTest(range, 'modRevision', false),
    lease: numberTest(range, 'lease', false),
    value: {
      equals: operand => valueCompare(range, 'equals', operand),
      notEquals: operand => valueCompare(range, 'notEquals', operand),
      greaterThan: operand => valueCompare(range, 'greaterThan', operand),
      lessThan: operand => valueCompare(range, 'lessThan', operand),
    },
  }
}

/** Is this key, named as etcd has it, still the one created at this revision? */
export function createdAt(key: Uint8Array, revision: bigint): Compare {
  return numberTest(rangeOf(key), 'createRevision', true).equals(revision)
}

/** The same as it travels, for requests made by the thousand. */
export function createdAtWire(key: Uint8Array, revision: bigint): Init<WireCompare> {
  return {
    key,
    target: CompareTarget.createRevision,
    result: CompareResult.equal,
    operand: { kind: 'createRevision', value: revision },
  }
}

/** Was the key last written at this revision? 0 for a key that does not exist. */
export function modifiedAtWire(key: Uint8Array, revision: bigint): Init<WireCompare> {
  return {
    key,
    target: CompareTarget.modRevision,
    result: CompareResult.equal,
    operand: { kind: 'modRevision', value: revision },
  }
}

/** Is the value of this key, named as etcd has it, behind this one? */
export function valueAbove(key: Uint8Array, operand: Uint8Array): Compare {
  return new Compare([
    { range: rangeOf(key), absolute: true, target: 'value', relation: 'greaterThan', operand },
  ])
}

function numberTest(range: KeyRange, target: Target, absolute: boolean): NumberTest {
  const test = (relation: Relation) => (operand: bigint) =>
    new Compare([
      { range, absolute, target, relation, operand: checkRevision(operand, `the ${target} to compare with`) },
    ])
  return {
    equals: test('equals'),
    notEquals: test('notEquals'),
    greaterThan: test('greaterThan'),
    lessThan: test('lessThan'),
  }
}

function valueCompare(range: KeyRange, relation: Relation, operand: Bytes): Compare {
  return new Compare([
    {
      range,
      absolute: false,
      target: 'value',
      relation,
      operand: ownBytes(operand, 'the value to compare with'),
    },
  ])
}

const TARGETS = {
  version: CompareTarget.version,
  createRevision: CompareTarget.createRevision,
  modRevision: CompareTarget.modRevision,
  lease: CompareTarget.lease,
  value: CompareTarget.value,
} as const

const RELATIONS = {
  equals: CompareResult.equal,
  notEquals: CompareResult.notEqual,
  greaterThan: CompareResult.greater,
  lessThan: CompareResult.less,
} as const
