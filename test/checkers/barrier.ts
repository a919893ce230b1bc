import type { Commit, Violation } from './history.ts'

/** What somebody who waited at a barrier was told. */
export interface BarrierWait {
  readonly startedAt: number
  readonly endedAt: number
  readonly opening: 'absent' | 'released' | 'abandoned' | 'unknown'
}

export interface BarrierUse {
  readonly name: string
  readonly waits: readonly BarrierWait[]
  /** The create revisions of all holds that somebody was given. */
  readonly given: readonly bigint[]
  /** The names of the processes that run: their holds say `host-of-` and the name. */
  readonly running: readonly string[]
}

/** Whoever waits is told when the barrier opens, and how; and whoever closes it knows of it, or is dead. */
export function checkBarrier(
  log: readonly Commit[],
  { name, waits, given, running }: BarrierUse,
): Violation[] {
  const { closed, anew } = closingsOf(log, name)
  const violations: Violation[] = anew.map(revision => ({
    rule: 'barrier-created-anew',
    message: `${name} was closed, and at ${revision} it was created once more.`,
    involved: [`revision ${revision}`],
  }))
  for (const wait of waits) {
    if (isTrue(wait, closed)) continue
    const { startedAt, endedAt, opening } = wait
    violations.push({
      rule: 'barrier-told-wrongly',
      message: `${name}: from ${startedAt} to ${endedAt} somebody heard that it was ${opening}.`,
      involved: [],
    })
  }
  const last = closed.at(-1)
  if (last === undefined || last.how !== undefined || given.includes(last.createRevision)) return violations
  const owner = running.find(process => last.value.includes(`host-of-${process}"`))
  if (owner === undefined) return violations
  const message = `${name}: ${owner} left it closed at ${last.createRevision} without knowing.`
  return [...violations, { rule: 'barrier-left-closed', message, involved: [] }]
}

/** From when to when a barrier was closed, and how it opened. */
export interface Closed {
  readonly createRevision: bigint
  readonly value: string
  readonly from: number
  readonly until: number
  /** `either` when somebody took its lease off: whoever missed that cannot know. */
  readonly how: 'released' | 'abandoned' | 'either' | undefined
}

function isTrue({ startedAt, endedAt, opening }: BarrierWait, closed: readonly Closed[]): boolean {
  const ended = closed.filter(({ until }) => until >= startedAt && until <= endedAt)
  switch (opening) {
    case 'absent':
      return !closed.some(({ from, until }) => from < startedAt && until > endedAt)
    case 'unknown':
      return ended.length > 1
    default:
      return ended.some(({ how }) => how === opening || how === 'either')
  }
}

/** What the log says: when it was closed, and which creations came while it was. */
export function closingsOf(
  log: readonly Commit[],
  name: string,
): { readonly closed: readonly Closed[]; readonly anew: readonly bigint[] } {
  const closed: Closed[] = []
  const anew: bigint[] = []
  let now: (Omit<Closed, 'until' | 'how'> & { lease: bigint; isOverwritten: boolean }) | undefined
  for (const { changes, at, revision } of log) {
    const change = changes.find(({ key }) => key === name)
    if (change?.kind === 'put') {
      const { createRevision, value, lease } = change
      now =
        now === undefined
          ? { createRevision, value, from: at, lease, isOverwritten: false }
          : { ...now, isOverwritten: true }
      if (createRevision !== now.createRevision) anew.push(revision)
    }
    if (change?.kind !== 'delete' || now === undefined) continue
    const isSaid = changes.some(({ key }) => key === `${name}.state`)
    const how = isSaid || now.lease === 0n ? 'released' : now.isOverwritten ? 'either' : 'abandoned'
    closed.push({ ...now, until: at, how })
    now = undefined
  }
  if (now !== undefined) closed.push({ ...now, until: Number.POSITIVE_INFINITY, how: undefined })
  return { closed, anew }
}
