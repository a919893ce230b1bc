import { setTimeout as sleep } from 'node:timers/promises'
import { prefix, type Session } from '../../../src/index.ts'
import { figuresOf, told } from '../figures.ts'
import { Findings, type Guest, type Scenario, withGuests } from '../scenario.ts'
import { Stopwatch } from '../stalls.ts'

const BOUND_MS = 50
/** What stops the process just before a deadline is still felt after it. */
const ABOUT_MS = 100
const TTL = 3
const CLIENTS = { short: 2, long: 6 }
const SESSIONS = { short: 10, long: 30 }

interface Loss {
  readonly lateMs: number
  /** How late a bare timer for the same instant was: what a busy machine does to everybody. */
  readonly timerLateMs: number
  /** How much of `lateMs` is that, or a time in which this process executed nothing. */
  readonly excusedMs: number
  /**
   * From our notice to the server's end of the lease, as a watcher hears of it. Nobody notices who stands still, and
   * nobody does anything either.
   */
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
      // On a busy machine three seconds may pass before all have one.
      const cut = sessions.filter(({ state }) => state !== 'lost')
      const ended = new Map<string, number>()
      const areOver = () => cut.every(({ leaseId }) => ended.has(leaseId.toString(16)))
      const ends = (async () => {
        if (areOver()) return
        for await (const event of watch) {
          const key = event.type === 'delete' ? event.key : event.kv.key
          ended.set(Buffer.from(key).toString().split('/').at(-1)!, performance.now())
          if (areOver()) return
        }
      })()
      const noticed = await cutOff(guest, cut)
      await ends
      return noticed.map(({ session, atMs, deadlineMs, timerAtMs, stalledMs }): Loss => {
        const lateMs = atMs - deadlineMs
        const excusedMs = Math.max(0, Math.min(lateMs, Math.max(timerAtMs - deadlineMs, stalledMs)))
        const endedAtMs = ended.get(session.leaseId.toString(16))!
        return {
          lateMs,
          excusedMs,
          timerLateMs: timerAtMs - deadlineMs,
          aheadMs: endedAtMs - atMs + excusedMs,
        }
      })
    })
    const all = losses.flat()
    const { max } = figuresOf(all.map(({ timerLateMs }) => timerLateMs))
    findings.note(`bare timers for the deadlines: at most ${max.toFixed(1)} ms late`)
    findings.note(`notice after the deadline: ${told(figuresOf(all.map(({ lateMs }) => lateMs)))}`)
    const excess = all.map(({ lateMs, excusedMs }) => lateMs - excusedMs)
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
  readonly stalledMs: number
}

async function cutOff({ network }: Guest, sessions: readonly Session[]): Promise<readonly Noticed[]> {
  for (const proxy of network.proxies) proxy.blackhole('both')
  // What had come through before is worked off.
  await sleep(100)
  return Promise.all(
    sessions.map(async session => {
      const deadlineMs = performance.now() + session.remainingMs
      const timer = sleep(deadlineMs - performance.now()).then(() => performance.now())
      let stopwatch: Stopwatch | undefined
      const soon = setTimeout(() => {
        stopwatch = new Stopwatch()
      }, session.remainingMs - ABOUT_MS)
      const { signal } = session
      const atMs = await new Promise<number>(resolve => {
        const lost = () => resolve(performance.now())
        if (signal.aborted) lost()
        else signal.addEventListener('abort', lost, { once: true })
      })
      clearTimeout(soon)
      const stalledMs = (await stopwatch?.stop(atMs))?.stalledMs ?? 0
      return { session, atMs, deadlineMs, timerAtMs: await timer, stalledMs }
    }),
  )
}
