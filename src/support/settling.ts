/** Enough for a promise to travel through the calls of a library and of its user, and for what they do next. */
const HOPS = 32

/**
 * Runs `action` when the promises that settle now have been heard of by whoever waits for them, and what these
 * have begun at once has begun: still in this turn of the event loop, so nothing is delayed by it.
 */
export function whenSettled(action: () => void): void {
  let left = HOPS
  const hop = (): void => {
    left -= 1
    if (left === 0) action()
    else void settled.then(hop)
  }
  hop()
}

const settled: Promise<void> = Promise.resolve()
