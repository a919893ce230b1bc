import { ownOnly } from './own.ts'

/** Checks for what callers hand in: everything wrong with it is told before any request. */

/**
 * Throws TypeError for an option nobody reads, the usual sign of a misspelt one. Returns the options as they may be
 * read: with nothing in them that was not given, whatever somebody has put into `Object.prototype`.
 */
export function checkOptions<Options>(options: Options, known: readonly string[], where: string): Options {
  if (options === undefined) return options
  if (typeof options !== 'object' || options === null)
    throw new TypeError(`${where}: options are an object, got ${shown(options)}`)
  for (const name of Object.keys(options)) {
    if (!known.includes(name))
      throw new TypeError(`${where}: unknown option '${name}'; it takes ${known.join(', ') || 'none'}`)
  }
  return ownOnly(options)
}

/** A whole number of seconds, items or milliseconds within bounds, or a RangeError that names it. */
export function checkInteger(
  value: unknown,
  name: string,
  bounds: { readonly min: number; readonly max?: number },
): number {
  const { min, max = Number.MAX_SAFE_INTEGER } = ownOnly(bounds)
  if (typeof value !== 'number') throw new TypeError(`${name} is a number, got ${shown(value)}`)
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new RangeError(
      `${name} is a whole number of at least ${min}${max < Number.MAX_SAFE_INTEGER ? ` and at most ${max}` : ''}, got ${value}`,
    )
  }
  return value
}

/** A non-negative int64. */
export function checkRevision(value: unknown, name: string, min = 0n): bigint {
  if (typeof value !== 'bigint')
    throw new TypeError(
      `${name} is a bigint, got ${shown(value)}${Number.isSafeInteger(value) ? `: write ${value}n` : ''}`,
    )
  if (value < min || value >= 2n ** 63n)
    throw new RangeError(`${name} is at least ${min} and below 2^63, got ${value}`)
  return value
}

export function checkOneOf<Value extends string>(
  value: unknown,
  allowed: readonly Value[],
  name: string,
): Value {
  if (!allowed.includes(value as Value))
    throw new TypeError(`${name} is one of ${allowed.join(', ')}, got ${shown(value)}`)
  return value as Value
}

export function checkSignal(signal: unknown, where: string): void {
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new TypeError(`${where}: signal is an AbortSignal, got ${shown(signal)}`)
}

function shown(value: unknown): string {
  return typeof value === 'string'
    ? JSON.stringify(value)
    : typeof value === 'object' && value !== null
      ? 'an object'
      : String(value)
}
