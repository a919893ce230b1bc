import { checkOptions, checkSignal } from '../src/support/options.ts'
import { type Bytes, toBytes } from '../src/wire/bytes.ts'

export interface LockOptions {
  /** Gives up waiting: you lose your place in the line, and nothing of you stays in it. */
  readonly signal?: AbortSignal | undefined
}

export function checkedLock(options: LockOptions, where: string): LockOptions {
  if (Object.hasOwn(options, 'timeoutMs')) {
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
