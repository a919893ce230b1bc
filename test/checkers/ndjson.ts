import type { History } from './history.ts'

type Kind = keyof History

/** In what order entries of a kind are told; the log alone is ordered by the server. */
const kinds: Readonly<Record<Kind, (entry: never) => number>> = {
  log: () => 0,
  acquisitions: ({ invokedAt }: History['acquisitions'][number]) => invokedAt,
  releases: ({ invokedAt }: History['releases'][number]) => invokedAt,
  guardedWrites: ({ invokedAt }: History['guardedWrites'][number]) => invokedAt,
  watches: () => 0,
  writes: ({ invokedAt }: History['writes'][number]) => invokedAt,
  reads: ({ invokedAt }: History['reads'][number]) => invokedAt,
  stalls: ({ from }: History['stalls'][number]) => from,
  interventions: ({ at }: History['interventions'][number]) => at,
}

const bigints: ReadonlySet<string> = new Set([
  'revision',
  'createRevision',
  'modRevision',
  'version',
  'lease',
  'token',
  'since',
  'toldUntil',
])

/** A history, or what one process saw of it, one entry a line. */
export function writeNdjson(history: Partial<History>): string {
  let text = ''
  for (const kind of Object.keys(kinds) as Kind[]) {
    for (const entry of history[kind] ?? []) text += `${writeEntry(kind, entry)}\n`
  }
  return text
}

/** One line, without its end. */
export function writeEntry<K extends Kind>(kind: K, entry: History[K][number]): string {
  return JSON.stringify({ kind, entry }, (_, value: unknown) => {
    if (typeof value === 'bigint') return String(value)
    // A span of keys or a value is never a number, so the word cannot be mistaken for one.
    return value === Infinity ? 'Infinity' : value
  })
}

/**
 * One history from what several processes wrote. A last line that was cut off, by the death of its writer, is left
 * out; any other that cannot be read throws. A commit several have seen is one, dated when it was seen first.
 */
export function readNdjson(...texts: readonly string[]): History {
  const entries: { [K in Kind]: History[K][number][] } = {
    log: [],
    acquisitions: [],
    releases: [],
    guardedWrites: [],
    watches: [],
    writes: [],
    reads: [],
    stalls: [],
    interventions: [],
  }
  for (const text of texts) {
    const lines = text.split('\n')
    lines.forEach((line, position) => {
      if (line === '') return
      // Whole lines end: what is behind the last end of line was cut off.
      if (position === lines.length - 1 && !isWhole(line)) return
      const { kind, entry } = JSON.parse(line, revive) as { kind: Kind; entry: never }
      if (entries[kind] === undefined) throw new TypeError(`line ${position + 1} tells of ${String(kind)}`)
      // Text has no way to say that a value is absent on purpose.
      entries[kind].push(kind === 'writes' ? ({ value: undefined, ...(entry as object) } as never) : entry)
    })
  }
  for (const kind of Object.keys(kinds) as Kind[]) {
    const time = kinds[kind] as (entry: unknown) => number
    entries[kind].sort((one, other) => time(one) - time(other))
  }
  return { ...entries, log: mergedLog(entries.log) }
}

function isWhole(line: string): boolean {
  try {
    JSON.parse(line)
    return true
  } catch {
    return false
  }
}

function revive(name: string, value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (bigints.has(name)) return BigInt(value)
  return value === 'Infinity' && times.has(name) ? Infinity : value
}

const times: ReadonlySet<string> = new Set([
  'at',
  'invokedAt',
  'settledAt',
  'believedUntil',
  'diedAt',
  'until',
])

function mergedLog(log: readonly History['log'][number][]): History['log'] {
  const sorted = log.toSorted((one, other) => {
    if (one.revision !== other.revision) return one.revision < other.revision ? -1 : 1
    return one.at - other.at
  })
  return sorted.filter(({ revision }, position) => sorted[position - 1]?.revision !== revision)
}
