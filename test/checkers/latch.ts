import type { Commit, Violation } from './history.ts'

/** One whom a latch let through. */
export interface LatchWait {
  readonly startedAt: number
  readonly endedAt: number
}

export interface LatchUse {
  readonly name: string
  readonly waits: readonly LatchWait[]
  /** By how much a commit may be dated later than it was made. */
  readonly recorderLagMs: number
}

/** From when to when a latch was open. */
export interface LatchOpening {
  readonly from: number
  readonly until: number
}

/** Everybody is counted once, the last opens it, and nobody is let through while it is closed. */
export function checkLatch(log: readonly Commit[], { name, waits, recorderLagMs }: LatchUse): Violation[] {
  const { open, faults } = openingsOf(log, name)
  const early = waits.filter(
    ({ startedAt, endedAt }) =>
      !open.some(({ from, until }) => from - recorderLagMs <= endedAt && until >= startedAt),
  )
  return [
    ...faults,
    ...early.map(
      ({ startedAt, endedAt }) =>
        `somebody was let through from ${startedAt} to ${endedAt}, when it was not open`,
    ),
  ].map(what => ({ rule: 'latch', message: `${name}: ${what}`, involved: [] }))
}

/** What the log says: when the latch was open, and whatever was counted wrongly. */
export function openingsOf(
  log: readonly Commit[],
  name: string,
): { readonly open: readonly LatchOpening[]; readonly faults: readonly string[] } {
  const open: LatchOpening[] = []
  const faults: string[] = []
  const calls = new Set<string>()
  let round = { round: 0, total: 0, base: '0' }
  let openSince: number | undefined
  let version = 0n
  for (const { changes, at, revision } of log) {
    const count = changes.find(({ key }) => key === `${name}/count`)
    const marks = changes.filter(({ key }) => new RegExp(`^${name}/\\d+/`).test(key))
    const opened = changes.some(({ key }) => key === `${name}/open`)
    const made = marks.filter(({ kind }) => kind === 'put')
    if (count?.kind !== 'put') {
      if (made.length > 0 || opened) faults.push(`${revision} marks somebody and counts nobody`)
      continue
    }
    const now = JSON.parse(count.value) as typeof round
    const isCounted = now.round === round.round
    const missing = () => now.total - Number(count.version - BigInt(now.base))
    if (isCounted !== (made.length === 1))
      faults.push(`${revision} counts without a mark, or marks without counting`)
    if (count.version !== version + 1n) faults.push(`the version was ${version} before ${count.version}`)
    version = count.version
    if (missing() < 0) faults.push(`${missing()} were missing at ${revision}`)
    if (opened !== (isCounted && missing() === 0))
      faults.push(`${revision} opened it with ${missing()} missing`)
    for (const mark of made) {
      if (mark.kind !== 'put') continue
      if (calls.has(mark.value)) faults.push(`one call was counted twice, last at ${revision}`)
      calls.add(mark.value)
      if (mark.version !== 1n) faults.push(`${mark.key} was counted twice, last at ${revision}`)
      if (!mark.key.startsWith(`${name}/${now.round}/`))
        faults.push(`${mark.key} was counted in round ${now.round}`)
    }
    if (!isCounted && openSince === undefined && round.round > 0) faults.push(`a count was set over another`)
    if (!isCounted && openSince !== undefined) {
      open.push({ from: openSince, until: at })
      openSince = undefined
    }
    if (opened) openSince = at
    round = now
  }
  if (openSince !== undefined) open.push({ from: openSince, until: Number.POSITIVE_INFINITY })
  return { open, faults }
}
