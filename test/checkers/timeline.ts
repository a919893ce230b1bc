import { believed } from './belief.ts'
import type { Change, Commit, Found, History, Outcome, Violation } from './history.ts'

export interface TimelineOptions {
  /** Only what has to do with this, and what went on around it. Absent: everything. */
  readonly around?: Violation
  /** Milliseconds shown before and after. Absent: 100. */
  readonly marginMs?: number
}

interface Line {
  readonly at: number
  readonly who: string
  readonly what: string
  /** Entries this line tells of. */
  readonly of: readonly string[]
  /** Who begins or ceases to believe with it. */
  readonly belief?: { readonly change: 'begins' | 'ends'; readonly name: string }
}

/**
 * A history as a person reads it: one line for each thing that happened, with the time, who did it, what it was,
 * and who believed by then that it owns. Lines of the violation are marked.
 */
export function renderTimeline(history: History, { around, marginMs = 100 }: TimelineOptions = {}): string {
  const lines = linesOf(history)
  const involved = new Set(around?.involved)
  const marked = lines.filter(line => isOf(line, involved))
  const [from, until] =
    marked.length === 0 ? [-Infinity, Infinity] : [marked[0]!.at - marginMs, marked.at(-1)!.at + marginMs]
  const who = Math.max(6, ...lines.map(line => line.who.length))
  const believers = new Set<string>()
  const rows: string[] = []
  for (const line of lines) {
    if (line.belief?.change === 'begins') believers.add(line.belief.name)
    if (line.belief?.change === 'ends') believers.delete(line.belief.name)
    if (line.at < from || line.at > until) continue
    const mark = isOf(line, involved) ? '>' : ' '
    const beliefs = believers.size === 0 ? '' : `   [${[...believers].join(', ')}]`
    rows.push(`${mark} ${line.at.toFixed(1).padStart(12)}  ${line.who.padEnd(who)}  ${line.what}${beliefs}`)
  }
  const title = around === undefined ? [] : [`${around.rule}: ${around.message}`]
  return [...title, ...rows, ''].join('\n')
}

function isOf(line: Line, involved: ReadonlySet<string>): boolean {
  return line.of.some(id => involved.has(id))
}

function linesOf(history: History): readonly Line[] {
  const lines: Line[] = []
  const add = (at: number | undefined, line: Omit<Line, 'at'>) => {
    if (at !== undefined && Number.isFinite(at)) lines.push({ at, ...line })
  }
  for (const commit of history.log) {
    add(commit.at, { who: 'server', what: commitText(commit), of: [`revision ${commit.revision}`] })
  }
  for (const acquisition of history.acquisitions) {
    const { id, process: who, line, outcome, key, token, invokedAt, settledAt, diedAt, loss } = acquisition
    const of = [id]
    add(invokedAt, { who, of, what: `${id} asks for ${line}` })
    if (outcome !== 'ok') {
      add(settledAt, { who, of, what: `${id} ${outcome}` })
      add(diedAt, { who, of, what: `${id} died` })
      continue
    }
    const name = `${who} ${token}`
    const { until } = believed(acquisition)
    add(settledAt, {
      who,
      of,
      what: `${id} granted ${key}, token ${token}`,
      belief: { change: 'begins', name },
    })
    const why = until === diedAt ? 'died' : (loss ?? 'releases or stops believing')
    add(until, { who, of, what: `${id} ${why}`, belief: { change: 'ends', name } })
  }
  for (const { id, process: who, acquisition, outcome, wasHeld, invokedAt, settledAt } of history.releases) {
    const of = [id, acquisition]
    const told = wasHeld === undefined ? '' : wasHeld ? ', it was held' : ', it had been lost'
    add(invokedAt, { who, of, what: `${id} releases ${acquisition}` })
    add(settledAt, { who, of, what: `${id} ${outcome}${told}` })
  }
  for (const { id, process: who, acquisition, key, value, ...rest } of history.guardedWrites) {
    const of = [id, acquisition]
    add(rest.invokedAt, { who, of, what: `${id} writes ${key}=${value} under ${acquisition}` })
    add(rest.settledAt, { who, of, what: `${id} ${outcomeText(rest)}` })
  }
  for (const { id, process: who, key, value, ...rest } of history.writes) {
    const of = [id]
    add(rest.invokedAt, {
      who,
      of,
      what: value === undefined ? `${id} deletes ${key}` : `${id} writes ${key}=${value}`,
    })
    add(rest.settledAt, { who, of, what: `${id} ${outcomeText(rest)}` })
  }
  for (const { id, process: who, from, to, found, ...rest } of history.reads) {
    const of = [id]
    add(rest.invokedAt, { who, of, what: `${id} reads ${from}${to === undefined ? '' : ` up to ${to}`}` })
    add(rest.settledAt, { who, of, what: `${id} ${outcomeText(rest)}${foundText(found)}` })
  }
  for (const { process: who, from, until } of history.stalls) {
    add(from, { who, of: [], what: 'stands still' })
    add(until, { who, of: [], what: 'goes on' })
  }
  for (const { at, kind, keys, revision } of history.interventions) {
    add(at, { who: 'operator', of: [`revision ${revision}`], what: `${kind}: ${keys.join(', ')}` })
  }
  // Of one instant: what the server did comes before what anybody heard of it.
  return lines.sort((one, other) => one.at - other.at || rank(one) - rank(other))
}

function rank({ who }: Line): number {
  return who === 'server' ? 0 : 1
}

function commitText({ revision, changes }: Commit): string {
  return `revision ${revision}: ${changes.map(changeText).join(', ')}`
}

function changeText(change: Change): string {
  if (change.kind === 'delete') return `delete ${change.key}`
  const { key, value, createRevision, version, lease } = change
  const under = lease === 0n ? '' : ` under lease ${lease.toString(16)}`
  return `put ${key}=${value} (created ${createRevision}, version ${version}${under})`
}

function outcomeText({
  outcome,
  revision,
}: {
  readonly outcome: Outcome
  readonly revision?: bigint
}): string {
  return revision === undefined ? outcome : `${outcome} at revision ${revision}`
}

function foundText(found: readonly Found[] | undefined): string {
  if (found === undefined) return ''
  return found.length === 0 ? ': nothing' : `: ${found.map(({ key, value }) => `${key}=${value}`).join(', ')}`
}
