import { scryptSync, timingSafeEqual } from 'node:crypto'
import type { Runtime } from '../support/runtime.ts'

/** What is kept of a password: enough to recognise it, too little to tell it. */
export interface PasswordHash {
  readonly salt: Uint8Array
  readonly hash: Uint8Array
}

/** Cheap beside what a production server spends, since tests sign in by the hundred: about a millisecond. */
const COST = { N: 512, r: 8, p: 1 }
const SALT_BYTES = 16
const HASH_BYTES = 32

export function hashPassword(password: string, runtime: Runtime): PasswordHash {
  const salt = runtime.randomBytes(SALT_BYTES)
  return { salt, hash: scryptSync(password, salt, HASH_BYTES, COST) }
}

export function isPassword(password: string, { salt, hash }: PasswordHash): boolean {
  return timingSafeEqual(scryptSync(password, salt, HASH_BYTES, COST), hash)
}
