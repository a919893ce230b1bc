import type { Handle, Session } from '../../../src/index.ts'
import { type LineRule, oneAtATime, readersAndWriters, seatsFor } from '../../checkers/line-rule.ts'
import type { Chance } from '../chance.ts'

/** Lines of a round: where they are, what stands in them, and how they are taken and left. */
export interface LineUse {
  /** For each, the prefix of all places in it. */
  readonly lines: readonly string[]
  take(session: Session, signal: AbortSignal): Promise<Taken>
}

export interface Taken {
  readonly handle: Handle
  leave(signal: AbortSignal): Promise<void>
}

const NAMES = ['a', 'b']
const SEATS = 2

/** Something to wait for in this round, and how. */
export function someLine(prefix: string, chance: Chance): LineUse {
  const kind = chance.of(['lock', 'lock', 'lock', 'all', 'elect', 'rw', 'seats'] as const)
  const name = `${prefix}${kind}/${chance.of(NAMES)}`
  switch (kind) {
    case 'lock':
      return {
        lines: [`${name}/`],
        take: async (session, signal) => {
          const hold = await session.mutex(name).lock({ signal })
          return { handle: hold, leave: signal => hold.unlock({ signal }) }
        },
      }
    case 'all': {
      // Of the same lines as single locks, in either order.
      const names = (chance.happens(0.5) ? NAMES : NAMES.toReversed()).map(one => `${prefix}lock/${one}`)
      return {
        lines: names.map(one => `${one}/`),
        take: async (session, signal) => {
          const hold = await session.lockAll(names, { signal })
          return { handle: hold, leave: signal => hold.unlock({ signal }) }
        },
      }
    }
    case 'elect':
      return {
        lines: [`${name}/`],
        take: async (session, signal) => {
          const leadership = await session.election(name).campaign('a worker', { signal })
          return { handle: leadership, leave: signal => leadership.resign({ signal }) }
        },
      }
    case 'rw': {
      const reads = chance.happens(0.6)
      return {
        lines: [`${name}/`],
        take: async (session, signal) => {
          const mutex = session.rwMutex(name)
          const hold = await (reads ? mutex.readLock({ signal }) : mutex.writeLock({ signal }))
          return { handle: hold, leave: signal => hold.unlock({ signal }) }
        },
      }
    }
    case 'seats':
      return {
        lines: [`${name}/s/`],
        take: async (session, signal) => {
          const permit = await session.semaphore(name, { permits: SEATS }).acquire({ signal })
          return { handle: permit, leave: signal => permit.release({ signal }) }
        },
      }
  }
}

/** What owning means in a line, from what it is called. */
export function ruleOfLine(line: string): LineRule {
  if (line.includes('/rw/')) return readersAndWriters
  return line.includes('/seats/') ? seatsFor(SEATS) : oneAtATime
}
