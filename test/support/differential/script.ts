/**
 * A script is a list of steps for a server that was just emptied. Revisions in it count from the one the
 * server had then, so a script means the same whatever was played before it and however many of its steps are
 * left.
 */
import type { Methods } from '../../../src/wire/methods.ts'

export type Script = readonly Step[]

export type Step = CallStep | SignInStep | WatchStep | CancelStep | ProgressStep | KeepAliveStep | OutliveStep

/** Who asks: a user by the token of an earlier sign-in, somebody without a token, or with one that is made up. */
export type Caller = 'nobody' | 'impostor' | { readonly user: string }

export type CallMethod = keyof Methods

export interface CallStep {
  readonly kind: 'call'
  readonly method: CallMethod
  readonly request: Plain
  readonly caller: Caller
}

export interface SignInStep {
  readonly kind: 'sign-in'
  readonly user: string
  readonly password: string
}

export interface WatchStep {
  readonly kind: 'watch'
  /** Names the watch within the script. */
  readonly watch: number
  readonly request: PlainObject
  readonly caller: Caller
}

export interface CancelStep {
  readonly kind: 'cancel'
  readonly watch: number
}

export interface ProgressStep {
  readonly kind: 'progress'
}

export interface KeepAliveStep {
  readonly kind: 'keep-alive'
  readonly lease: bigint
  readonly caller: Caller
}

/** Waits until a lease is over. */
export interface OutliveStep {
  readonly kind: 'outlive'
  readonly lease: bigint
}

/** A request with revisions not yet told. */
export type Plain = PlainObject | readonly Plain[] | Scalar
export interface PlainObject {
  readonly [field: string]: Plain
}
type Scalar = string | number | bigint | boolean | undefined | Uint8Array | Since

/** A revision: so many after the script began. */
export class Since {
  readonly offset: bigint

  constructor(offset: number) {
    this.offset = BigInt(offset)
  }
}

/** The request with every revision told. */
export function resolved(plain: Plain, base: bigint): unknown {
  if (plain instanceof Since) return base + plain.offset
  if (plain instanceof Uint8Array || typeof plain !== 'object') return plain
  if (isList(plain)) return plain.map(item => resolved(item, base))
  return Object.fromEntries(Object.entries(plain).map(([field, value]) => [field, resolved(value, base)]))
}

/** As it can be pasted into a test, one step on each line. */
export function printed(script: Script): string {
  return script.map(step => `  ${literal(step)},`).join('\n')
}

/** JavaScript that makes the value again. */
export function literal(value: unknown): string {
  if (value instanceof Since) return `since(${value.offset})`
  if (value instanceof Uint8Array) return `bytes(${JSON.stringify(Buffer.from(value).toString('latin1'))})`
  if (typeof value === 'bigint') return `${value}n`
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined)
    return `{ ${fields.map(([name, field]) => `${name}: ${literal(field)}`).join(', ')} }`
  }
  return JSON.stringify(value) ?? 'undefined'
}

/** One character for each byte. */
export function bytes(latin1: string): Uint8Array {
  return new Uint8Array(Buffer.from(latin1, 'latin1'))
}

export function since(offset: number): Since {
  return new Since(offset)
}

function isList(plain: PlainObject | readonly Plain[]): plain is readonly Plain[] {
  return Array.isArray(plain)
}
