import type { Change, Commit, Violation } from './history.ts'

/**
 * Permits of every semaphore in the log are given within its limit, in order of arrival, all that a claim asks for or
 * none, and none to two at once.
 */
export function checkPermits(log: readonly Commit[]): Violation[] {
  const violations: Violation[] = []
  const live = new Map<string, Stored>()
  for (const commit of log) {
    const given = givenIn(commit)
    for (const semaphore of new Set(given.map(({ key }) => key.slice(0, key.indexOf('/s/'))))) {
      const own = given.filter(({ key }) => key.startsWith(`${semaphore}/s/`))
      for (const [rule, words] of wrongsOf(semaphore, own, commit, live))
        violations.push({
          rule,
          message: `${semaphore} at revision ${commit.revision}: ${words}`,
          involved: [`revision ${commit.revision}`],
        })
    }
    for (const change of commit.changes) {
      if (change.kind === 'put') live.set(change.key, change)
      else live.delete(change.key)
    }
  }
  return violations
}

/** The place of one permit, of its key alone. */
export const SLOT: RegExp = /\/s\/\d{4}$/

type Put = Extract<Change, { kind: 'put' }>
type Stored = Pick<Put, 'createRevision' | 'value'>

function givenIn({ revision, changes }: Commit): readonly Put[] {
  return changes.filter(
    (change): change is Put =>
      change.kind === 'put' && change.createRevision === revision && SLOT.test(change.key),
  )
}

function wrongsOf(
  semaphore: string,
  given: readonly Put[],
  { changes }: Commit,
  live: ReadonlyMap<string, Stored>,
): (readonly [rule: string, words: string])[] {
  const wrongs: (readonly [string, string])[] = []
  const put = changes.find(({ key }) => key === `${semaphore}/limit`)
  const limit = Number(put?.kind === 'put' ? put.value : live.get(`${semaphore}/limit`)?.value)
  const held = [...live.keys()].filter(key => key.startsWith(`${semaphore}/s/`))
  // Also where there is no limit at all.
  if (!(held.length + given.length <= limit))
    wrongs.push(['permits-beyond-limit', `${given.length} given with ${held.length} held, of ${limit}`])
  for (const { key } of given) {
    if (live.has(key)) wrongs.push(['permit-given-twice', `${key} given although it is held`])
    if (!(Number(key.slice(-4)) < limit))
      wrongs.push(['slot-beyond-limit', `${key} given, beyond the limit ${limit}`])
  }
  const [head] = [...live]
    .filter(([key]) => key.startsWith(`${semaphore}/w/`))
    .sort(([, one], [, other]) => (one.createRevision < other.createRevision ? -1 : 1))
  if (head !== undefined && !changes.some(({ kind, key }) => kind === 'delete' && key === head[0]))
    wrongs.push(['permits-out-of-turn', `given while ${head[0]} waits at the head`])
  const [first] = given
  const { count } = JSON.parse(first!.value) as { readonly count: number }
  if (count !== given.length) wrongs.push(['claim-in-part', `${given.length} of ${count} given`])
  if (given.some(({ value }) => value !== first!.value))
    wrongs.push(['claims-mixed', 'permits of several claims given at once'])
  return wrongs
}
