import type { Promptness } from '../checkers/turns.ts'
import { disturbing, type Plan } from './plan.ts'
import { FAULTY_PART } from './play.ts'

/** Beside what travels: whoever waits looks again by itself only after far longer. */
const TOLD_MS = 1000

/** What is under way when everything heals: an attempt, a connection to be given up, a pause before the next. */
const PUT_IN_ORDER_MS = 6000

/** From when on nothing disturbs anybody, and how soon things are told then. */
export function promptnessOf(plan: Plan, until: number): Promptness {
  const { seconds, latencyMs, spikeChance, spikeMs } = plan
  return {
    // Where nothing keeps news from anybody it is in time from the beginning.
    from: isSlow(plan) ? healedAtMs(seconds) : 0,
    until,
    // What was sent before may still be slow.
    graceMs: PUT_IN_ORDER_MS + 20 * latencyMs + (spikeChance > 0 ? spikeMs : 0),
    withinMs: TOLD_MS + roundTripsMs(plan),
  }
}

export function healedAtMs(seconds: number): number {
  return seconds * 1000 * FAULTY_PART
}

/** May news be kept from whoever waits for it? */
export function isSlow({ faults }: Plan): boolean {
  return faults.some(kind => disturbing.has(kind))
}

/** Is every lease renewed in time by a process that runs? */
export function leasesAreSafe(plan: Plan): boolean {
  return !isSlow(plan) && plan.spikeChance === 0
}

/** How long it takes at most until the clock of a process has gone on by so much. */
export function byItsClock({ drift }: Plan, ms: number): number {
  return ms / (1 - drift)
}

/** The own key is watched from the first second of a hold on. */
export const ARMED_MS = 1000

/** How long it takes at most until the watch of a key that is held tells that it is gone. */
export function noticeMs(plan: Plan): number {
  return byItsClock(plan, ARMED_MS) + roundTripsMs(plan) + (isSlow(plan) ? plan.ttl * 1000 + 10_000 : 0)
}

export function roundTripsMs({ latencyMs, spikeChance, spikeMs }: Plan): number {
  return 20 * latencyMs + (spikeChance > 0 ? 4 * spikeMs : 0)
}
