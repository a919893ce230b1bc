import type { Client } from '../src/client/client.ts'
import { checkInteger, checkOneOf, checkOptions, checkSignal } from '../src/support/options.ts'
import { type Bytes, ownBytes, toBytes } from '../src/wire/bytes.ts'
import { LeadLoop, type LeadPlan } from './internal/lead/loop.ts'
import type { LeadState } from './lead-state.ts'
import type { Term } from './lead-term.ts'
import { checkName } from './lock-options.ts'

export interface LeadOptions {
  /** Stops it: the term ends in order, and `lead` resolves. Without one it goes on until the client is closed. */
  readonly signal?: AbortSignal | undefined
  /** Of its sessions, in seconds. Default: 15. */
  readonly ttl?: number | undefined
  /** Shown to whoever asks who leads or wants to; `transfer` finds us by it. */
  readonly owner?: string | undefined
  /** `none`: our keys say nothing about owner, host, process and age. */
  readonly metadata?: 'none' | undefined
  /** What is proclaimed while we lead, or how to make it of the fencing token. Default: what our session says of itself. */
  readonly value?: Bytes | ((fencingToken: bigint) => Bytes) | undefined
  /** Of those who want to lead, the one with the largest number does; of equals, who came first. Default: 0. */
  readonly priority?: number | undefined
  /** `gracefully`: while we lead, somebody of a higher priority is made room for. Default: never. */
  readonly preempt?: 'never' | 'gracefully' | undefined
  /** How long somebody better must have been there before we make room, in milliseconds. Default: 10 000. */
  readonly stabilizationMs?: number | undefined
  /** How long the function may take after the signal of its term has aborted, before we resign all the same. Default: 5000. */
  readonly gracePeriodMs?: number | undefined
  /** Bounds of the random pause after a term that ended by itself or went wrong. Default: 250 ms to 10 s. */
  readonly backoff?:
    | { readonly initialMs?: number | undefined; readonly maxMs?: number | undefined }
    | undefined
  /** We stand and lead only while this says true. One that throws or does not answer in time says no. */
  readonly healthy?: (() => boolean | Promise<boolean>) | undefined
  /** How often it is asked, in milliseconds. Default: 5000. */
  readonly healthyEveryMs?: number | undefined
  /** When the function fails while we lead: campaign `again`, told by `onState`, or `reject` with its error. Default: again. */
  readonly onError?: 'again' | 'reject' | undefined
  /** Called with each change of state. */
  readonly onState?: ((state: LeadState) => void) | undefined
}

const KNOWN = [
  'signal',
  'ttl',
  'owner',
  'metadata',
  'value',
  'priority',
  'preempt',
  'stabilizationMs',
  'gracePeriodMs',
  'backoff',
  'healthy',
  'healthyEveryMs',
  'onError',
  'onState',
]

/**
 * Leads whenever it can: stands for election, runs the function while we lead, and stands again, until it is stopped.
 *
 * Keys      `<name>/<lease in hex>` for the leader, in the layout of {@link Election}: Go, `etcdctl elect` and
 *           `election()` share the name with us, and whoever is the oldest below `<name>/` leads.
 *           `<name>.candidates/<lease in hex>` for everybody who wants to follow, with its priority.
 * Steps     1. in one transaction, lead if nobody does and nobody wants to, else become a candidate   2. when nobody
 *           leads, the best candidate turns into the leader in one transaction; each one behind waits half a second
 *           longer than the one before   3. the function runs   4. the best candidate is made the leader in the
 *           very revision in which we cease to
 * Safety    at no revision two leaders; tokens rise from term to term, whoever makes whom the leader. The signal of a
 *           term aborts before anybody else can lead, when clocks are as the session assumes; what a function does
 *           all the same is told by its smaller token. A term never begins before the function of the one before has
 *           settled in this process.
 * Liveness  after a crash somebody leads within the TTL and half a second for every better candidate that does not
 *           move. A lost session is replaced.
 * Not       first come, first served with those who use `election()`: they stand in the line and are served before
 *           any candidate. A leader that was made one while its process stood still leads, doing nothing, until its
 *           lease is over.
 * Cost      free: 1 round trip to lead after that for the session. From a resignation to the next leader 2, from a
 *           crash noticed by the cluster 1. Every candidate is told when another comes or goes.
 */
export async function lead(
  client: Client,
  name: Bytes,
  body: (term: Term) => unknown,
  options: LeadOptions = {},
): Promise<void> {
  const plan = planOf(name, body, options)
  client.assertOpen()
  if (plan.signal?.aborted) return
  await new LeadLoop(client, plan).run()
}

function planOf(name: Bytes, body: (term: Term) => unknown, given: LeadOptions): LeadPlan {
  if (typeof body !== 'function') throw new TypeError('lead takes a function')
  const options = checkOptions(given, KNOWN, 'lead')
  const { signal, ttl, owner, metadata, value, healthy, onState } = options
  checkSignal(signal, 'lead')
  for (const [called, callback] of Object.entries({ healthy, onState }))
    if (callback !== undefined && typeof callback !== 'function')
      throw new TypeError(`lead: ${called} is a function`)
  const backoff = checkOptions(options.backoff ?? {}, ['initialMs', 'maxMs'], 'backoff')
  const initialMs = checkInteger(backoff.initialMs ?? 250, 'initialMs', { min: 0 })
  return {
    name: checkName(name, 'an election'),
    body,
    signal,
    ttl,
    owner,
    metadata,
    value: wantedOf(value),
    priority: checkInteger(options.priority ?? 0, 'priority', { min: Number.MIN_SAFE_INTEGER }),
    preempt: checkOneOf(options.preempt ?? 'never', ['never', 'gracefully'], 'preempt'),
    stabilizationMs: checkInteger(options.stabilizationMs ?? 10_000, 'stabilizationMs', { min: 0 }),
    gracePeriodMs: checkInteger(options.gracePeriodMs ?? 5000, 'gracePeriodMs', { min: 0 }),
    backoff: {
      initialMs,
      maxMs: checkInteger(backoff.maxMs ?? Math.max(initialMs, 10_000), 'maxMs', { min: initialMs }),
    },
    healthy,
    healthyEveryMs: checkInteger(options.healthyEveryMs ?? 5000, 'healthyEveryMs', { min: 1 }),
    onError: checkOneOf(options.onError ?? 'again', ['again', 'reject'], 'onError'),
    onState,
  }
}

function wantedOf(value: LeadOptions['value']): LeadPlan['value'] {
  if (value === undefined) return undefined
  if (typeof value !== 'function') return ownBytes(value, 'what is proclaimed')
  return fencingToken => toBytes(value(fencingToken), 'what is proclaimed')
}
