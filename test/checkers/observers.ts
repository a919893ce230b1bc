import type { Commit, Violation } from './history.ts'

/** Who led, as an observer was told: the key of one creation, and the write it was seen with. */
export interface Head {
  readonly createRevision: bigint
  readonly modRevision: bigint
}

/** What one observer was told of one line, in order; undefined for a vacancy. */
export interface Observed {
  /** The prefix all places of the line share, with its trailing slash. */
  readonly line: string
  readonly told: readonly (Head | undefined)[]
  /** It was to be told of everything up to this revision before it left. Absent: of what it was told of. */
  readonly owedUntil?: bigint
}

/** Who was at the head from a commit on. */
interface Reign {
  readonly head: Head | undefined
  readonly since: bigint
}

/** An observer is told of every change of leader and of every proclamation, in order, from when it began on. */
export function checkObserver(log: readonly Commit[], { line, told, owedUntil = 0n }: Observed): Violation[] {
  const reigns = headsOf(log, line)
  const truth = reigns.map(({ head }) => head)
  const owed = reigns.findLastIndex(({ since }) => since <= owedUntil)
  const missed = () => [wrong('leader-untold', `of ${line} ${wordsOf(truth[owed])} was not told`)]
  const known = told.findIndex(head => head !== undefined)
  if (known < 0) {
    if (told.length > 1)
      return [wrong('vacancy-repeated', `of ${line} a vacancy was told ${told.length} times in a row`)]
    const isTold = told.length > 0 && truth.includes(undefined, owed)
    return owedUntil > 0n && !isTold ? missed() : []
  }
  const first = truth.findIndex(head => isSame(head, told[known]))
  if (first < 0)
    return [wrong('leader-invented', `of ${line} ${wordsOf(told[known])} was told, who never led`)]
  const start = first - known
  for (const [index, head] of told.entries()) {
    const at = start + index
    if (at >= 0 && at < truth.length && isSame(head, truth[at])) continue
    const isTrue = truth.some(one => isSame(one, head))
    const words = `of ${line} ${wordsOf(head)} was told where ${wordsOf(truth[at])} led`
    return [wrong(isTrue ? 'leader-out-of-place' : 'leader-invented', words)]
  }
  return start + told.length <= owed ? missed() : []
}

function wrong(rule: string, words: string): Violation {
  return { rule, message: `An observer was told wrongly: ${words}.`, involved: [] }
}

/** Who was at the head after each commit that changed that. Before the first there was nobody. */
function headsOf(log: readonly Commit[], line: string): readonly Reign[] {
  const live = new Map<string, Head>()
  const reigns: Reign[] = [{ head: undefined, since: 0n }]
  for (const { revision, changes } of log) {
    const ours = changes.filter(({ key }) => key.startsWith(line))
    if (ours.length === 0) continue
    for (const change of ours) {
      if (change.kind === 'delete') live.delete(change.key)
      else live.set(change.key, { createRevision: change.createRevision, modRevision: revision })
    }
    const head = [...live.values()].reduce<Head | undefined>(
      (first, one) => (first === undefined || one.createRevision < first.createRevision ? one : first),
      undefined,
    )
    if (!isSame(head, reigns.at(-1)?.head)) reigns.push({ head, since: revision })
  }
  return reigns
}

function isSame(one: Head | undefined, other: Head | undefined): boolean {
  return one?.createRevision === other?.createRevision && one?.modRevision === other?.modRevision
}

function wordsOf(head: Head | undefined): string {
  return head === undefined
    ? 'nobody'
    : `the leader of ${head.createRevision}, as written at ${head.modRevision},`
}
