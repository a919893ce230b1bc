import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import type { Entry } from './messages.ts'

/**
 * The thing the lock protects: a file, and the one rule its keeper knows. A write with a smaller token than the
 * largest seen so far comes from the past, and is refused. Any database, queue or object store can keep this rule.
 */
export class Ledger {
  readonly #file: string
  #largest = 0n

  constructor(file: string) {
    this.#file = file
    writeFileSync(file, '')
  }

  /** Was it taken? */
  write({ what, token, worker }: Entry): boolean {
    if (BigInt(token) < this.#largest) return false
    this.#largest = BigInt(token)
    appendFileSync(this.#file, `${what} ${token} ${worker}\n`)
    return true
  }

  /** Everything that was written, read back from the file. */
  read(): Entry[] {
    return readFileSync(this.#file, 'utf8')
      .split('\n')
      .filter(line => line !== '')
      .map(line => {
        const [what, token, worker] = line.split(' ')
        return { what: what === 'begin' ? 'begin' : 'end', token: token!, worker: worker! }
      })
  }
}
