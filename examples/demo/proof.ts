import type { Entry } from './messages.ts'

export interface Proof {
  readonly finished: number
  /** Begun and never ended: by the killed and the stopped holder. */
  readonly brokenOff: readonly string[]
  readonly handOvers: number
  /** What is wrong; empty if nothing is. */
  readonly faults: readonly string[]
}

/**
 * Judges the ledger by its lines alone. `interrupted` are the tokens of holders that were killed or stopped: only
 * they may leave a job open, and nobody may write for them afterwards.
 */
export function prove(entries: readonly Entry[], interrupted: ReadonlySet<string>): Proof {
  const faults: string[] = []
  const brokenOff: string[] = []
  let open: Entry | undefined
  let latest: Entry | undefined
  let finished = 0
  let handOvers = 0
  for (const entry of entries) {
    if (entry.what === 'end') {
      if (open?.token !== entry.token)
        faults.push(`token ${entry.token} ended a job that was not the open one`)
      else finished += 1
      open = undefined
      continue
    }
    if (open !== undefined) {
      brokenOff.push(open.token)
      if (!interrupted.has(open.token))
        faults.push(`${entry.worker} (token ${entry.token}) overlapped ${open.worker} (token ${open.token})`)
    }
    if (latest !== undefined && BigInt(entry.token) <= BigInt(latest.token))
      faults.push(`token ${entry.token} came after ${latest.token}`)
    if (latest !== undefined && latest.worker !== entry.worker) handOvers += 1
    open = entry
    latest = entry
  }
  if (open !== undefined) brokenOff.push(open.token)
  return { finished, brokenOff, handOvers, faults }
}
