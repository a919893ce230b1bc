import { scryptSync, timingSafeEqual } from 'node:crypto'
import type { Runtime } from '../support/runtime.ts'

/** What is kept of a password: enough to recognise it, too little to tell it. */
export interface PasswordHash {
  /** How much it costs to try one: N of scrypt. */
  readonly cost: number
  readonly salt: Uint8Array
  readonly hash: Uint8Array
}

/** Cheap beside what a production server spends, since tests sign in by the hundred: about a millisecond. */
const COST = 512
const SALT_BYTES = 16
const HASH_BYTES = 32

export function hashPassword(password: string, runtime: Runtime, cost: number = COST): PasswordHash {
  const salt = runtime.randomBytes(SALT_BYTES)
  return { cost, salt, hash: hashOf(password, salt, cost) }
}

export function isPassword(password: string, { cost, salt, hash }: PasswordHash): boolean {
  return timingSafeEqual(hashOf(password, salt, cost), hash)
}

function hashOf(password: string, salt: Uint8Array, cost: number): Buffer {
  return scryptSync(password, salt, HASH_BYTES, { N: cost, r: 8, p: 1 })
}
