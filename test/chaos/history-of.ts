import type {
  Acquisition,
  Commit,
  GuardedWrite,
  History,
  Intervention,
  Read,
  Release,
  Stall,
  Told,
  Watched,
  Write,
} from '../checkers/history.ts'
import type { Entry, Table } from './journal.ts'

/** One history of what the journals of all processes and the log of the recorder tell. */
export function historyOf(
  log: readonly Commit[],
  entries: readonly Entry[],
  /** When processes were killed. */
  deaths: ReadonlyMap<string, number>,
): History {
  const tables = new Map<Table, Entry[]>()
  for (const entry of entries) {
    const known = tables.get(entry.table)
    if (known === undefined) tables.set(entry.table, [entry])
    else known.push(entry)
  }
  const of = (table: Table) => tables.get(table) ?? []
  const calls = <Call>(table: Table) => of(table).map(entry => ({ ...UNHEARD, ...entry }) as unknown as Call)
  const told = new Map<string, Told[]>()
  for (const entry of of('told')) {
    const watch = String(entry.watch)
    const known = told.get(watch)
    if (known === undefined) told.set(watch, [entry as unknown as Told])
    else known.push(entry as unknown as Told)
  }
  return {
    log,
    acquisitions: calls<Acquisition>('acquisitions').map(acquisition => {
      const diedAt = deaths.get(acquisition.process)
      return diedAt === undefined ? acquisition : { ...acquisition, diedAt }
    }),
    releases: calls<Release>('releases'),
    guardedWrites: calls<GuardedWrite>('guardedWrites'),
    writes: calls<Write>('writes'),
    reads: calls<Read>('reads'),
    watches: of('watches').map(entry => watched(entry, told.get(entry.id) ?? [])),
    stalls: of('stalls') as unknown as Stall[],
    interventions: of('interventions').flatMap(entry => intervention(entry, log)),
  }
}

const UNHEARD = { settledAt: Number.POSITIVE_INFINITY, outcome: 'unknown' }

/** A watcher whose process died accounts for what it was told. */
function watched(entry: Entry, told: readonly Told[]): Watched {
  const account = (entry as unknown as Watched).toldUntil
  const last = told.at(-1)?.revision ?? account
  return { ...(entry as unknown as Watched), toldUntil: last > account ? last : account, told }
}

/** The server tells no revision when a lease is revoked: it is the first after the order that deleted the key. */
function intervention(entry: Entry, log: readonly Commit[]): Intervention[] {
  const { kind, key, after, at } = entry as unknown as {
    kind: Intervention['kind']
    key: string
    after: bigint
    at: number
  }
  const deleted = (commit: Commit) =>
    commit.changes.some(change => change.kind === 'delete' && change.key === key)
  const commit = log.find(commit => commit.revision > after && deleted(commit))
  if (commit === undefined) return []
  const keys = commit.changes.filter(change => change.kind === 'delete').map(change => change.key)
  return [{ at: Math.min(at, commit.at), revision: commit.revision, kind, keys }]
}
