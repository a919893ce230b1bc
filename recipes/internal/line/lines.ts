import type { Engine } from '../../../src/client/engine.ts'
import { mapKey, printable } from '../../../src/wire/bytes.ts'
import type { Entry } from './entry.ts'
import { Line } from './line.ts'
import type { Rule } from './rule.ts'

/** All lines one client stands in, by their prefix in etcd: whatever session, view or recipe leads there. */
export class Lines {
  readonly #engine: Engine
  readonly #lines = new Map<string, Line>()
  /** Foreign keys an operator was told of. */
  readonly #named = new Set<string>()

  constructor(engine: Engine) {
    this.#engine = engine
  }

  of(prefix: Uint8Array, values: Rule['values']): Line {
    const name = `${values}:${mapKey(prefix)}`
    let line = this.#lines.get(name)
    if (line === undefined) {
      const made: Line = new Line(this.#engine, prefix, values, () => {
        if (this.#lines.get(name) === made) this.#lines.delete(name)
      })
      line = made
      this.#lines.set(name, line)
    }
    return line
  }

  /** Tells, once, that somebody's key is in the way although it is no place in the line. */
  nameForeign({ name, key, lease }: Entry, prefix: Uint8Array): void {
    if (this.#named.has(name)) return
    if (this.#named.size >= NAMED_LIMIT) this.#named.clear()
    this.#named.add(name)
    const bound =
      lease === 0n
        ? 'and goes with no lease, so it stays until somebody deletes it'
        : `and goes with lease ${lease.toString(16)}`
    this.#engine.warn({
      code: 'FOREIGN_KEY',
      message: `${printable(key)} is no place in the line of ${printable(prefix)} ${bound}; everybody behind it waits for it`,
    })
  }
}

const NAMED_LIMIT = 1000
