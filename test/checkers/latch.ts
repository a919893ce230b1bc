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
    ...early.map(({ startedAt, endedAt }): Fault => {
      const words = `somebody was let through from ${startedAt} to ${endedAt}, when it was not open`
      return ['latch-passed-closed', words]
    }),
  ].map(([rule, words]) => ({ rule, message: `${name}: ${words}`, involved: [] }))
}

type Fault = readonly [rule: string, words: string]

/** What the log says: when the latch was open, and whatever was counted wrongly. */
export function openingsOf(
  log: readonly Commit[],
  name: string,
): { readonly open: readonly LatchOpening[]; readonly faults: readonly Fault[] } {
  const open: LatchOpening[] = []
  const faults: Fault[] = []
  const calls = new Set<string>()
  let round = { round: 0, total: 0, base: '0' }
  let openSince: number | undefined
  let version = 0n
  for (const { changes, at, revision } of log) {
    const say = (rule: string, words: string) => faults.push([rule, `${words} at ${revision}`])
    const count = changes.find(({ key }) => key === `${name}/count`)
    const marks = changes.filter(({ key }) => new RegExp(`^${name}/\\d+/`).test(key))
    const opened = changes.some(({ key }) => key === `${name}/open`)
    const made = marks.filter(({ kind }) => kind === 'put')
    if (count?.kind !== 'put') {
      if (made.length > 0) say('latch-mark-uncounted', 'somebody is marked and nobody counted')
      if (opened) say('latch-opened-wrongly', 'it opened and nobody was counted')
      continue
    }
    const now = JSON.parse(count.value) as typeof round
    const isCounted = now.round === round.round
    const missing = now.total - Number(count.version - BigInt(now.base))
    if (isCounted !== (made.length === 1))
      say(
        'latch-count-unmarked',
        `${isCounted ? 'somebody' : 'nobody'} is counted, and ${made.length} marked`,
      )
    if (count.version !== version + 1n)
      say('latch-version-skipped', `the version was ${version} before ${count.version}`)
    version = count.version
    if (missing < 0) say('latch-counted-beyond', `${missing} were missing`)
    if (opened !== (isCounted && missing === 0))
      say('latch-opened-wrongly', `it ${opened ? 'opened' : 'did not open'} with ${missing} missing`)
    for (const mark of made) {
      if (mark.kind !== 'put') continue
      if (calls.has(mark.value)) say('latch-call-twice', 'a call was counted that had been counted before')
      calls.add(mark.value)
      if (mark.version !== 1n) say('latch-participant-twice', `${mark.key} was counted again`)
      if (!mark.key.startsWith(`${name}/${now.round}/`))
        say('latch-wrong-round', `${mark.key} was counted in round ${now.round}`)
    }
    if (!isCounted && openSince === undefined && round.round > 0)
      say('latch-set-over-another', 'a count was set over another')
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
