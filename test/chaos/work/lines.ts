import type { Handle, Session } from '../../../src/index.ts'
import { type LineRule, oneAtATime, readersAndWriters, seatsFor } from '../../checkers/line-rule.ts'
import type { Chance } from '../chance.ts'

/** One line of a round: where it is, what stands in it, and how it is taken and left. */
export interface LineUse {
  /** The prefix of all places in it. */
  readonly line: string
  take(session: Session, signal: AbortSignal): Promise<Taken>
}

export interface Taken {
  readonly handle: Handle
  leave(signal: AbortSignal): Promise<void>
}

const SEATS = 2

/** Something to wait for in this round, and how. */
export function someLine(prefix: string, chance: Chance): LineUse {
  const kind = chance.of(['lock', 'lock', 'lock', 'elect', 'rw', 'seats'] as const)
  const name = `${prefix}${kind}/${chance.of(['a', 'b'])}`
  switch (kind) {
    case 'lock':
      return {
        line: `${name}/`,
        take: async (session, signal) => {
          const hold = await session.mutex(name).lock({ signal })
          return { handle: hold, leave: signal => hold.unlock({ signal }) }
        },
      }
    case 'elect':
      return {
        line: `${name}/`,
        take: async (session, signal) => {
          const leadership = await session.election(name).campaign('a worker', { signal })
          return { handle: leadership, leave: signal => leadership.resign({ signal }) }
        },
      }
    case 'rw': {
      const reads = chance.happens(0.6)
      return {
        line: `${name}/`,
        take: async (session, signal) => {
          const mutex = session.rwMutex(name)
          const hold = await (reads ? mutex.readLock({ signal }) : mutex.writeLock({ signal }))
          return { handle: hold, leave: signal => hold.unlock({ signal }) }
        },
      }
    }
    case 'seats':
      return {
        line: `${name}/s/`,
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
