/** Which calls a fault meets. Left out: all of them. */
export interface FaultTarget {
  /** Name of a method (`Put`), of a service (`Lease`), or the whole path; what etcd does not have is a RangeError. */
  readonly method?: string | undefined
  /** Index of the member. */
  readonly member?: number | undefined
  /** How many calls. Default: no end. */
  readonly times?: number | undefined
}

/**
 * - `silence`: the caller never hears of it, as from a peer that vanished
 * - `disconnect`: the call ends as if its connection had broken
 */
export type Aftermath = 'silence' | 'disconnect'

export type FaultEffect =
  | { readonly kind: 'drop-request'; readonly then: Aftermath }
  | { readonly kind: 'lose-reply'; readonly then: Aftermath }
  | { readonly kind: 'delay'; readonly requestMs: number; readonly replyMs: number }

/** What is to go wrong with one call. */
export interface CallFaults {
  readonly drop: Aftermath | undefined
  readonly lose: Aftermath | undefined
  readonly requestMs: number
  readonly replyMs: number
}

export const NO_FAULTS: CallFaults = { drop: undefined, lose: undefined, requestMs: 0, replyMs: 0 }

/** Faults in force, in the order they were put in. */
export class FaultRules {
  readonly #rules = new Set<Rule>()

  /** Returns how to lift it. */
  add(target: FaultTarget, effect: FaultEffect): () => void {
    const rule: Rule = { target, effect, left: target.times ?? Infinity }
    this.#rules.add(rule)
    return () => this.#rules.delete(rule)
  }

  clear(): void {
    this.#rules.clear()
  }

  /** What meets this call; counted. */
  take(path: string, memberIndex: number): CallFaults {
    if (this.#rules.size === 0) return NO_FAULTS
    let faults = NO_FAULTS
    for (const rule of this.#rules) {
      if (!meets(rule.target, path, memberIndex)) continue
      rule.left -= 1
      if (rule.left <= 0) this.#rules.delete(rule)
      faults = combined(faults, rule.effect)
    }
    return faults
  }
}

interface Rule {
  readonly target: FaultTarget
  readonly effect: FaultEffect
  left: number
}

function meets({ method, member }: FaultTarget, path: string, memberIndex: number): boolean {
  if (member !== undefined && member !== memberIndex) return false
  return method === undefined || isCalled(method, path)
}

/** Does a target name this path? */
export function isCalled(method: string, path: string): boolean {
  if (method === path) return true
  const [, service = '', name = ''] = path.split('/')
  return method === name || method === service.slice(service.lastIndexOf('.') + 1)
}

function combined(faults: CallFaults, effect: FaultEffect): CallFaults {
  switch (effect.kind) {
    case 'drop-request':
      return { ...faults, drop: faults.drop ?? effect.then }
    case 'lose-reply':
      return { ...faults, lose: faults.lose ?? effect.then }
    case 'delay':
      return {
        ...faults,
        requestMs: faults.requestMs + effect.requestMs,
        replyMs: faults.replyMs + effect.replyMs,
      }
  }
}
