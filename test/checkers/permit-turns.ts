import type { Commit } from './history.ts'

interface Waiter {
  readonly key: string
  readonly createRevision: bigint
  readonly claim: string
  readonly count: number
}

/**
 * When there was enough for each permit of a semaphore: from when on its claim was the first in line, and as many as it
 * wants were free; or when it was taken, by a claim that never stood in line. By its token.
 */
export function permitTurns(log: readonly Commit[], name: string): ReadonlyMap<bigint, number> {
  const turns = new Map<bigint, number>()
  const held = new Set<string>()
  const waiting: Waiter[] = []
  let limit = 0
  /** Who has enough, and since when. */
  let ready: { readonly key: string; readonly since: number } | undefined
  for (const { revision, at, changes } of log) {
    let taken: string | undefined
    const waited = waiting.slice()
    for (const change of changes) {
      const { key } = change
      if (key === `${name}/limit` && change.kind === 'put') limit = Number(change.value)
      else if (key.startsWith(`${name}/s/`)) {
        if (change.kind === 'delete') held.delete(key)
        else {
          held.add(key)
          if (change.createRevision === revision) taken = saidIn(change.value)?.claim ?? ''
        }
      } else if (key.startsWith(`${name}/w/`)) {
        const known = waiting.findIndex(one => one.key === key)
        if (change.kind === 'delete') waiting.splice(known, known < 0 ? 0 : 1)
        else if (change.createRevision === revision) {
          const { claim = '', count = Infinity } = saidIn(change.value) ?? {}
          waiting.push({ key, createRevision: revision, claim, count })
        }
      }
    }
    if (taken !== undefined) {
      const stood = waited.find(({ claim }) => claim === taken)
      turns.set(revision, stood !== undefined && ready?.key === stood.key ? ready.since : at)
    }
    const [head] = waiting
    if (head === undefined || held.size + head.count > limit) ready = undefined
    else if (ready?.key !== head.key) ready = { key: head.key, since: at }
  }
  return turns
}

function saidIn(value: string): { readonly claim: string; readonly count: number } | undefined {
  try {
    return JSON.parse(value) as { readonly claim: string; readonly count: number }
  } catch {
    return undefined
  }
}
