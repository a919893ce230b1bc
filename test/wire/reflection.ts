import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import * as auth from '../../src/wire/gen/auth.g.ts'
import * as kv from '../../src/wire/gen/kv.g.ts'
import * as rpc from '../../src/wire/gen/rpc.g.ts'
import * as election from '../../src/wire/gen/v3election.g.ts'
import * as lock from '../../src/wire/gen/v3lock.g.ts'

/**
 * The second opinion: protobufjs's own codec, built at run time from the same .proto files, and translations
 * between its messages and ours.
 */

/** A message of ours of any type: the tests walk all of them. */
export type AnyMessage = { readonly [field: string]: unknown }

/** A codec of ours, of a type only known at run time. */
export interface AnyCodec {
  readonly name: string
  encode(message: AnyMessage): Uint8Array
  decode(bytes: Uint8Array): AnyMessage
}

export interface Choice {
  readonly kind: string
  readonly value: unknown
}

export const PROTO_FOLDER: URL = new URL('../../../proto/etcd/', import.meta.url)

const FILES = ['kv', 'auth', 'rpc', 'v3lock', 'v3election']

export const root: protobuf.Root = load()

export const types: readonly protobuf.Type[] = typesIn(root)

const codecs: ReadonlyMap<string, AnyCodec> = new Map(
  [auth, kv, rpc, election, lock]
    .flatMap(module => Object.values(module) as unknown[])
    .filter(isCodec)
    .map(codec => [codec.name, codec]),
)

export function codecOf(type: protobuf.Type): AnyCodec {
  const codec = codecs.get(type.fullName.slice(1))
  if (codec === undefined) throw new Error(`nothing was generated for ${type.fullName}`)
  return codec
}

export function encodeByReflection(type: protobuf.Type, message: AnyMessage): Uint8Array {
  return plain(type.encode(type.fromObject(toReflection(type, message))).finish())
}

export function decodeByReflection(type: protobuf.Type, bytes: Uint8Array): AnyMessage {
  return fromReflection(type, type.decode(bytes) as unknown as AnyMessage)
}

/** Buffers and Uint8Arrays of equal bytes, made equal for comparisons. */
export function plain(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes)
}

export const int64Values: readonly bigint[] = [0n, 5n, -1n, 2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n]
export const uint64Values: readonly bigint[] = [0n, 5n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]

/** Messages of a type with every field set to anything it may be. */
export function messages(type: protobuf.Type, depth: number = 3): fc.Arbitrary<AnyMessage> {
  const fields: Record<string, fc.Arbitrary<unknown>> = {}
  for (const field of type.fieldsArray.filter(each => each.partOf === null))
    fields[field.name] = values(field, depth)
  for (const choice of type.oneofsArray) {
    const members = choice.fieldsArray
      .filter(field => depth > 0 || !(field.resolvedType instanceof protobuf.Type))
      .map(field => single(field, depth).map(value => ({ kind: field.name, value })))
    fields[choice.name] = fc.oneof(fc.constant(undefined), ...members)
  }
  return fc.record(fields)
}

function values(field: protobuf.Field, depth: number): fc.Arbitrary<unknown> {
  const embedded = field.resolvedType instanceof protobuf.Type
  if (embedded && depth === 0) return fc.constant(field.repeated ? [] : undefined)
  if (field.repeated) return fc.array(single(field, depth), { maxLength: 3 })
  return embedded ? fc.option(single(field, depth), { nil: undefined }) : single(field, depth)
}

function single(field: protobuf.Field, depth: number): fc.Arbitrary<unknown> {
  const { resolvedType } = field
  if (resolvedType instanceof protobuf.Type) return messages(resolvedType, depth - 1)
  if (resolvedType instanceof protobuf.Enum) return fc.constantFrom(...Object.values(resolvedType.values))
  switch (field.type) {
    case 'int64':
      return fc.oneof(fc.constantFrom(...int64Values), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))
    case 'uint64':
      return fc.oneof(fc.constantFrom(...uint64Values), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
    case 'uint32':
      return fc.integer({ min: 0, max: 2 ** 32 - 1 })
    case 'bool':
      return fc.boolean()
    case 'string':
      return fc.oneof(fc.string({ unit: 'binary' }), fc.string({ minLength: 120, maxLength: 200 }))
    case 'bytes':
      return fc.oneof(fc.uint8Array(), fc.uint8Array({ minLength: 120, maxLength: 200 }))
    default:
      throw new Error(`no values for ${field.type}`)
  }
}

function load(): protobuf.Root {
  const loaded = new protobuf.Root()
  for (const file of FILES)
    protobuf.parse(readFileSync(new URL(`${file}.proto`, PROTO_FOLDER), 'utf8'), loaded)
  loaded.resolveAll()
  return loaded
}

function typesIn(namespace: protobuf.NamespaceBase): protobuf.Type[] {
  return namespace.nestedArray.flatMap(item => {
    if (item instanceof protobuf.Type) return [item, ...typesIn(item)]
    return item instanceof protobuf.Namespace ? typesIn(item) : []
  })
}

function isCodec(value: unknown): value is AnyCodec {
  return typeof value === 'object' && value !== null && 'decode' in value
}

/** What is left at its default is left out, except in a oneof. */
function toReflection(type: protobuf.Type, message: AnyMessage): Record<string, unknown> {
  const object: Record<string, unknown> = {}
  for (const field of type.fieldsArray) {
    const choice = field.partOf === null ? undefined : (message[field.partOf.name] as Choice | undefined)
    if (choice?.kind === field.name) object[field.name] = valueTo(field, choice.value)
    if (field.partOf !== null) continue
    const value = message[field.name]
    if (field.repeated) object[field.name] = ((value ?? []) as unknown[]).map(item => valueTo(field, item))
    else if (value !== undefined && !isDefault(value)) object[field.name] = valueTo(field, value)
  }
  return object
}

function fromReflection(type: protobuf.Type, decoded: AnyMessage): AnyMessage {
  const message: Record<string, unknown> = {}
  for (const choice of type.oneofsArray) {
    const kind = decoded[choice.name] as string | undefined
    const field = choice.fieldsArray.find(each => each.name === kind)
    message[choice.name] = field && { kind: field.name, value: valueFrom(field, decoded[field.name]) }
  }
  for (const field of type.fieldsArray.filter(each => each.partOf === null)) {
    const value = decoded[field.name]
    message[field.name] = field.repeated
      ? (value as unknown[]).map(item => valueFrom(field, item))
      : valueFrom(field, value)
  }
  return message
}

function valueTo(field: protobuf.Field, value: unknown): unknown {
  if (field.resolvedType instanceof protobuf.Type)
    return toReflection(field.resolvedType, value as AnyMessage)
  return typeof value === 'bigint' ? String(value) : value
}

function valueFrom(field: protobuf.Field, value: unknown): unknown {
  if (field.resolvedType instanceof protobuf.Type) {
    return value === null || value === undefined
      ? undefined
      : fromReflection(field.resolvedType, value as AnyMessage)
  }
  if (field.type === 'int64' || field.type === 'uint64') return BigInt(String(value))
  return field.type === 'bytes' ? Uint8Array.from(value as Uint8Array) : value
}

function isDefault(value: unknown): boolean {
  return (
    value === 0 ||
    value === 0n ||
    value === '' ||
    value === false ||
    (value instanceof Uint8Array && value.length === 0)
  )
}
