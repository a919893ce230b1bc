import { checkInteger, checkOptions, checkSignal } from '../src/support/options.ts'
import { type Bytes, toBytes } from '../src/wire/bytes.ts'
import type { Hold } from './hold.ts'
import type { RevocationRequest } from './internal/mutex/revocation.ts'

export interface LockOptions {
  /** Gives up waiting: you lose your place in the line, and nothing of you stays in it. */
  readonly signal?: AbortSignal | undefined
}

/** What nobody needs of most locks. None of it costs a request unless it is asked for. */
export interface MutexOptions {
  /**
   * For what cannot check tokens: when the holder before us was lost instead of unlocking, the lock, once ours, is
   * kept for so many milliseconds before `lock` resolves. All users of the name have to ask for it.
   */
  readonly lockDelayMs?: number | undefined
  /** So many milliseconds after it was granted the lock is given up by itself, and the hold's signal aborts. */
  readonly maxHoldMs?: number | undefined
  /** Called when somebody asks for the lock with `requestRevocation`. Whether to unlock is up to you. */
  readonly onRevocation?: ((request: RevocationRequest, hold: Hold) => void) | undefined
}

export function checkedMutex(options: MutexOptions): MutexOptions {
  options = checkOptions(options, ['lockDelayMs', 'maxHoldMs', 'onRevocation'], 'mutex')
  const { lockDelayMs, maxHoldMs, onRevocation } = options
  if (lockDelayMs !== undefined) checkInteger(lockDelayMs, 'lockDelayMs', { min: 1 })
  if (maxHoldMs !== undefined) checkInteger(maxHoldMs, 'maxHoldMs', { min: 1 })
  if (onRevocation !== undefined && typeof onRevocation !== 'function')
    throw new TypeError('mutex: onRevocation is a function')
  return options
}

export function checkedLock(options: LockOptions, where: string): LockOptions {
  if (Object.hasOwn(options ?? {}, 'timeoutMs')) {
    throw new TypeError(`${where} takes no timeoutMs: give it a signal that aborts when the time is up`)
  }
  options = checkOptions(options, ['signal'], where)
  checkSignal(options.signal, where)
  return options
}

export function checkName(name: Bytes, what = 'a lock'): Uint8Array {
  const bytes = toBytes(name, `the name of ${what}`)
  if (bytes.length === 0) throw new RangeError(`${what} needs a name that is not empty`)
  return bytes
}
