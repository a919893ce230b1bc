import { open } from 'node:fs/promises'
import type { Change, Commit } from '../checkers/history.ts'
import { decode } from './journal.ts'

/** What the recorder writes, read on from where the last reading ended. */
export class LogFile {
  readonly #file: string
  #offset = 0

  constructor(file: string) {
    this.#file = file
  }

  /** The whole lines that are there now and were not there before. */
  async more(): Promise<Commit[]> {
    const handle = await open(this.#file, 'r')
    try {
      const { size } = await handle.stat()
      const bytes = Buffer.alloc(size - this.#offset)
      await handle.read(bytes, 0, bytes.length, this.#offset)
      const end = bytes.lastIndexOf(0x0a) + 1
      this.#offset += end
      return bytes
        .subarray(0, end)
        .toString()
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line, decode) as Commit)
    } finally {
      await handle.close()
    }
  }
}

/** Every revision of them, with the changes under that prefix only. */
export function within(prefix: string, commits: readonly Commit[]): Commit[] {
  const isWithin = (change: Change) => change.key.startsWith(prefix)
  return commits.map(commit => ({ ...commit, changes: commit.changes.filter(isWithin) }))
}
