import type { Runtime } from '../../src/index.ts'
import { nodeRuntime } from '../../src/support/node-runtime.ts'

/** After so long a batch of transactions goes on without a function, and is left by those who wait for its commit. */
const TURN_MS = 2
const PATIENCE_MS = 1000
const NEVER_MS = 1e9

/** A machine that is never too busy for a batch of transactions to stay together, whatever else it does; and no pause is long. */
export function unhurried(): Runtime {
  const node = nodeRuntime()
  const now = node.now()
  return {
    ...node,
    now: () => now,
    random: () => 0,
    setTimer: (delayMs, action) =>
      delayMs === TURN_MS || delayMs === PATIENCE_MS
        ? node.setTimer(NEVER_MS, action).unref()
        : node.setTimer(delayMs, action),
  }
}
