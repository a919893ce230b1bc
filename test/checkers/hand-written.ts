import type { Acquisition, Change, History } from './history.ts'

/** A history by hand. Commit `n` is revision `n + 2`, at `10 * n` unless `times` say otherwise. */
export function history({
  log = [],
  times = [],
  ...rest
}: Partial<Omit<History, 'log'>> & {
  readonly log?: readonly (readonly Change[])[]
  readonly times?: readonly number[]
} = {}): History {
  return {
    log: log.map((changes, index) => ({
      revision: BigInt(index + 2),
      at: times[index] ?? 10 * index,
      changes,
    })),
    acquisitions: [],
    releases: [],
    guardedWrites: [],
    watches: [],
    writes: [],
    reads: [],
    stalls: [],
    interventions: [],
    ...rest,
  }
}

/** A key created at this revision. */
export function put(key: string, createRevision: bigint, value = 'v', lease = 0n): Change {
  return { kind: 'put', key, value, createRevision, version: 1n, lease }
}

/** Granted in the line `l/`, asked for at 0 and told at 100, and believed from then on. */
export function acquisition(key: string, token: bigint, rest: Partial<Acquisition> = {}): Acquisition {
  return {
    id: `a${token}`,
    process: `p${token}`,
    line: 'l/',
    outcome: 'ok',
    key,
    token,
    invokedAt: 0,
    settledAt: 100,
    ...rest,
  }
}
