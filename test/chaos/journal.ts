/**
 * What a process tells of itself, line by line, as it happens. Each line is part of an entry; parts with the
 * same id make one entry, the later saying more. A process that is killed leaves whole lines: what had begun is
 * in its journal without an end, which is the truth about it.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { readFile } from 'node:fs/promises'

/** The parts of a history, what is told of transactions, counting and rendezvous, and what was wrong. */
export type Table =
  | 'acquisitions'
  | 'releases'
  | 'guardedWrites'
  | 'writes'
  | 'reads'
  | 'watches'
  | 'told'
  | 'stalls'
  | 'interventions'
  | 'transactions'
  | 'counted'
  | 'meetings'
  | 'stays'
  | 'latchWaits'
  | 'sessions'
  /** What a promise rules out, seen by whoever was at work. */
  | 'complaints'
  /** When the database was full. */
  | 'shortages'
  | 'troubles'

export type Fields = Readonly<Record<string, unknown>>

export interface Entry {
  readonly table: Table
  readonly id: string
  readonly [field: string]: unknown
}

export class Journal {
  readonly file: string
  readonly #process: string
  readonly #descriptor: number
  #count = 0

  constructor(file: string, process: string) {
    this.file = file
    this.#process = process
    this.#descriptor = openSync(file, 'a')
  }

  /** Begins an entry. Returns its id. */
  begin(table: Table, fields: Fields): string {
    const id = `${this.#process}-${++this.#count}`
    this.#write({ table, id, process: this.#process, ...fields })
    return id
  }

  /** Says more about an entry. */
  more(table: Table, id: string, fields: Fields): void {
    this.#write({ table, id, ...fields })
  }

  /** Unique in the history: for keys and values. */
  value(): string {
    return `${this.#process}.${++this.#count}`
  }

  close(): void {
    closeSync(this.#descriptor)
  }

  #write(entry: Fields): void {
    // At once and in one piece: a process may be killed after any line.
    writeSync(this.#descriptor, `${JSON.stringify(entry, encode)}\n`)
  }
}

/** All entries of some journals, in the order they were begun in each. */
export async function readJournals(files: readonly string[]): Promise<Entry[]> {
  const entries = new Map<string, Entry>()
  for (const file of files) {
    for (const line of (await readFile(file, 'utf8')).split('\n')) {
      if (line === '') continue
      const part = JSON.parse(line, decode) as Entry
      const key = `${part.table} ${part.id}`
      entries.set(key, { ...entries.get(key), ...part })
    }
  }
  return [...entries.values()]
}

/** Numbers that JSON cannot tell are told as text with a mark in front that no other text here begins with. */
export function encode(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `\u0000${value}`
  return value === Number.POSITIVE_INFINITY ? '\u0000never' : value
}

export function decode(_key: string, value: unknown): unknown {
  if (typeof value !== 'string' || !value.startsWith('\u0000')) return value
  return value === '\u0000never' ? Number.POSITIVE_INFINITY : BigInt(value.slice(1))
}
