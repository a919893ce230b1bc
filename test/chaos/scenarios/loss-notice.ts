import { setTimeout as sleep } from 'node:timers/promises'
import { prefix, type Session } from '../../../src/index.ts'
import { figuresOf, inMs } from '../figures.ts'
import { Findings, type Guest, type Scenario, withGuests } from '../scenario.ts'

const BOUND_MS = 50
const TTL = 3
const CLIENTS = { short: 2, long: 6 }
const SESSIONS = { short: 10, long: 30 }

interface Loss {
  readonly lateMs: number
  /** How late a bare timer for the same instant was: what a busy machine does to everybody. */
  readonly timerLateMs: number
  /** From our notice to the server's end of the lease, as a watcher hears of it. */
  readonly aheadMs: number
}

export const lossNotice: Scenario = {
  name: 'loss-notice',
  promise: 'a session that cannot be renewed is lost within 50 ms of its deadline, before the server ends it',
  runs: 'together',
  async run({ cluster, form }) {
    const findings = new Findings()
    const losses = await withGuests(cluster, CLIENTS[form], async (guest, index) => {
      const own = `loss-notice/${index}/`
      const sessions: Session[] = []
      for (let count = 0; count < SESSIONS[form]; count++) {
        const session = await guest.etcd.session({ ttl: TTL })
        await session.mutex(`${own}${count}`).lock()
        sessions.push(session)
        await sleep(30)
      }
      await using watch = cluster.control.watch(prefix(own), { only: 'delete' })
      await watch.ready
      const told = new Map<string, number>()
      const ends = (async () => {
        for await (const event of watch) {
          const key = event.type === 'delete' ? event.key : event.kv.key
          told.set(Buffer.from(key).toString().split('/').at(-1)!, performance.now())
          if (told.size === sessions.length) return
        }
      })()
      const noticed = await cutOff(guest, sessions)
      await ends
      return noticed.map(
        ({ session, atMs, deadlineMs, timerAtMs }): Loss => ({
          lateMs: atMs - deadlineMs,
          timerLateMs: timerAtMs - deadlineMs,
          aheadMs: told.get(session.leaseId.toString(16))! - atMs,
        }),
      )
    })
    const all = losses.flat()
    const { max } = figuresOf(all.map(({ timerLateMs }) => timerLateMs))
    findings.note(`bare timers for the deadlines: at most ${max.toFixed(1)} ms late`)
    findings.note(`notice after the deadline: ${inMs(figuresOf(all.map(({ lateMs }) => lateMs)))}`)
    const excess = all.map(({ lateMs, timerLateMs }) => lateMs - Math.max(0, timerLateMs))
    findings.within("of that not the machine's doing", excess, BOUND_MS)
    const ahead = all.map(({ aheadMs }) => aheadMs)
    findings.note(
      `the server ended them ${Math.round(Math.min(...ahead))} to ${Math.round(Math.max(...ahead))} ms later`,
    )
    findings.expect(
      all.every(({ aheadMs }) => aheadMs > 0),
      'the server ended a lease somebody still believed in',
    )
    findings.expect(
      all.every(({ lateMs }) => lateMs > -5),
      'a session was given up before its deadline',
    )
    return findings.verdict
  },
}

interface Noticed {
  readonly session: Session
  readonly atMs: number
  readonly deadlineMs: number
  readonly timerAtMs: number
}

async function cutOff({ network }: Guest, sessions: readonly Session[]): Promise<readonly Noticed[]> {
  for (const proxy of network.proxies) proxy.blackhole('both')
  // What had come through before is worked off.
  await sleep(100)
  return Promise.all(
    sessions.map(async session => {
      const deadlineMs = performance.now() + session.remainingMs
      const timer = sleep(deadlineMs - performance.now()).then(() => performance.now())
      await new Promise<void>(resolve => {
        session.signal.addEventListener('abort', () => resolve(), { once: true })
      })
      const atMs = performance.now()
      return { session, atMs, deadlineMs, timerAtMs: await timer }
    }),
  )
}
