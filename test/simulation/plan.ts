import { Random } from './random.ts'

/** All that can go wrong, by name. What each does is in `nemesis.ts`. */
export const faultKinds = [
  'cut',
  'black-hole',
  'one-way',
  'slow-path',
  'path-degrades',
  'never-speaks',
  'member-killed',
  'member-stopped',
  'member-lags',
  'leader-lost',
  'go-away',
  'streams-cut',
  'reply-lost',
  'answer-garbled',
  'process-stopped',
  'process-stalled',
  'process-sleeps',
  'process-crashes',
  'process-crashes-sending',
  'lease-revoked',
  'lease-expires-early',
  'lease-ends-at-deadline',
  'key-deleted',
  'key-overwritten',
  'compaction',
  'no-space',
  'tokens-forgotten',
  'all-members-down',
] as const

export type FaultKind = (typeof faultKinds)[number]

/** Faults that may keep news from whoever waits for it. Without them it comes as fast as the network is. */
export const disturbing: ReadonlySet<FaultKind> = new Set([
  'cut',
  'black-hole',
  'one-way',
  'slow-path',
  'path-degrades',
  'never-speaks',
  'member-killed',
  'member-stopped',
  'member-lags',
  'leader-lost',
  'go-away',
  'streams-cut',
  'reply-lost',
  'answer-garbled',
  'lease-ends-at-deadline',
  'all-members-down',
])

/** Everything that is drawn before a seed is run. The same plan gives the same run, to the last bit. */
export interface Plan {
  readonly seed: number
  readonly recipe: string
  readonly faults: readonly FaultKind[]
  /** Servers play the faults known of released versions. */
  readonly hostile: boolean
  readonly processes: number
  readonly members: number
  readonly lines: number
  /** Of sessions, in seconds. */
  readonly ttl: number
  /** Virtual, until everything heals. */
  readonly seconds: number
  readonly latencyMs: number
  readonly spikeChance: number
  readonly spikeMs: number
  readonly inBatches: boolean
  /** How far clocks of processes may be off: 0.009 is just what the library allows for. */
  readonly drift: number
  readonly leaseScanMs: number
  /** Seconds a token lives unused, where everybody has to sign in; 0: nobody has to. */
  readonly tokenTtl: number
}

/** In a run that is to find faults of a recipe, calm systems matter as much as wild ones. */
export function planOf(seed: number, recipe: string): Plan {
  const random = new Random(seed).fork(`plan ${recipe}`)
  // Where the network and the members are sound, what others do must be noticed soon.
  const isSound = random.chance(0.2)
  const appetite = random.pick(isSound ? [0.2, 0.4, 0.7] : [0, 0.1, 0.2, 0.4, 0.7])
  const hostile = random.chance(0.15)
  // Only a server that lags can answer from the past.
  const faults = faultKinds.filter(
    kind =>
      (random.chance(appetite) && !(isSound && disturbing.has(kind))) || (hostile && kind === 'member-lags'),
  )
  const drawn = {
    seed,
    recipe,
    hostile,
    processes: random.integer(4, 7),
    members: random.pick([1, 3, 3]),
    lines: random.integer(1, 3),
    ttl: random.pick([2, 3, 5, 5, 10, 15]),
    seconds: 60,
    latencyMs: random.pick([0.2, 1, 5, 20, 60]),
    spikeChance: random.pick([0, 0, 0.01, 0.05]),
    spikeMs: random.pick([50, 500, 3000]),
    inBatches: random.chance(0.5),
    drift: random.pick([0, 0.001, 0.009]),
    leaseScanMs: random.pick([0, 500]),
    tokenTtl: random.chance(0.15) ? random.integer(1, 5) : 0,
  }
  // Where nobody has to sign in there are no tokens to forget.
  return { ...drawn, faults: faults.filter(kind => kind !== 'tokens-forgotten' || drawn.tokenTtl > 0) }
}
