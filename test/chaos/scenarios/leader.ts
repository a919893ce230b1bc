import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Etcd, EtcdError, type Session } from '../../../src/index.ts'
import type { FaultyCluster } from '../../support/etcd-cluster.ts'
import { Chance } from '../chance.ts'
import { figuresOf, told } from '../figures.ts'
import { Findings, type Form, type Scenario } from '../scenario.ts'
import { Stopwatch, type Timing } from '../stalls.ts'

const FIRST_SUCCESS_MS = 2500
const LATE_ELECTION_MS = 2000
const AFTER_ELECTION_MS = 500
const KILLS = { short: 2, long: 40 }
const FAULTS = { short: 2, long: 100 }
const MOVES = { short: 3, long: 200 }
const FAULT_MS: Readonly<Record<Form, readonly [number, number]>> = {
  short: [1500, 2500],
  long: [1000, 6000],
}
const PROBE_EVERY_MS = 25

export const leaderKilled: Scenario = {
  name: 'leader-killed',
  promise:
    'a write succeeds within 2.5 s after the leader was killed, if the servers elect another within 2 s',
  runs: 'alone',
  async run({ cluster, form }) {
    const findings = new Findings()
    const elections: number[] = []
    const afterElection: Timing[] = []
    const took: Timing[] = []
    let late = 0
    await withClients(cluster, async clients => {
      for (let kill = 0; kill < KILLS[form]; kill++) {
        const leader = await cluster.leader()
        const stopwatch = new Stopwatch()
        const killedAtMs = stopwatch.startedAtMs
        const dying = cluster.kill(leader)
        const [writtenAtMs, { firstAtMs, allAtMs }] = await Promise.all([
          Promise.all(clients.map(firstWriteAtMs)),
          cluster.writable(),
        ])
        const writes = await Promise.all(writtenAtMs.map(atMs => stopwatch.stop(atMs)))
        const electingMs = allAtMs - killedAtMs
        elections.push(firstAtMs - killedAtMs)
        afterElection.push(...writes.map(write => ({ ...write, ms: Math.max(0, write.ms - electingMs) })))
        // Two candidates may split the votes, and the servers need another round: no client can help that.
        if (electingMs > LATE_ELECTION_MS) late++
        else took.push(...writes)
        await dying
        await cluster.restart(leader)
      }
    })
    findings.note(`the servers themselves took a write again: ${told(figuresOf(elections))}`)
    findings.within('from then to the first write of a client', afterElection, AFTER_ELECTION_MS)
    if (took.length > 0) findings.within('the first write of a client', took, FIRST_SUCCESS_MS)
    if (late > 0) findings.note(`left out of that: ${late} elections of over ${LATE_ELECTION_MS / 1000} s`)
    return findings.verdict
  },
}

export const sessionsSurvive: Scenario = {
  name: 'sessions-survive',
  promise: 'sessions with a TTL of 10 s outlive every leader that is killed or paused',
  runs: 'alone',
  async run({ cluster, form, seed }) {
    const findings = new Findings()
    const chance = new Chance(seed)
    let closestMs = Number.POSITIVE_INFINITY
    let lost = 0
    await withSessions(cluster, 10, async sessions => {
      const sampling = setInterval(() => {
        closestMs = Math.min(closestMs, ...sessions.map(({ remainingMs }) => remainingMs))
      }, 20)
      for (const session of sessions) session.on('state', state => void (state === 'lost' && lost++))
      for (let fault = 0; fault < FAULTS[form]; fault++) {
        const leader = await cluster.leader()
        if (fault % 2 === 0) await cluster.kill(leader)
        else await cluster.pause(leader)
        await sleep(chance.between(...FAULT_MS[form]))
        await cluster.resume(leader)
        await cluster.restart(leader)
        // The next comes at another point between two renewals.
        await sleep(chance.between(0, 500))
      }
      clearInterval(sampling)
    })
    findings.note(
      `${FAULTS[form]} faults, 6 sessions: ${lost} lost, at least ${Math.round(closestMs)} ms before a deadline`,
    )
    findings.expect(lost === 0, `${lost} sessions were lost`)
    return findings.verdict
  },
}

export const leaderMoves: Scenario = {
  name: 'leader-moves',
  promise: 'no read, no lock and no session with a TTL of 5 s suffers when leadership moves',
  runs: 'alone',
  async run({ cluster, form, seed }) {
    const findings = new Findings()
    const chance = new Chance(seed)
    const counts = { reads: 0, cycles: 0, writes: 0, unknown: 0, lost: 0 }
    await withSessions(cluster, 5, async (sessions, clients) => {
      for (const session of sessions) session.on('state', state => void (state === 'lost' && counts.lost++))
      const over = new AbortController()
      const { signal } = over
      const repeat = async (once: () => Promise<unknown>) => {
        while (!signal.aborted) {
          await once().catch(error => {
            if (!signal.aborted) findings.expect(false, String(error))
          })
          await sleep(2)
        }
      }
      const work = [
        ...clients.map(etcd => repeat(() => etcd.get('leader-moves', { signal }).then(() => counts.reads++))),
        ...sessions.map((session, index) =>
          repeat(async () => {
            const hold = await session.mutex(`leader-moves/${index}`).lock({ signal })
            await hold.unlock()
            counts.cycles++
          }),
        ),
        // A proposal that was on its way to the old leader is dropped without a word: nobody can know.
        ...clients.map((etcd, index) =>
          repeat(() =>
            etcd.put(`leader-moves/${index}`, String(counts.writes++), { signal }).catch(error => {
              if (!EtcdError.is(error) || error.outcome !== 'unknown') throw error
              counts.unknown++
            }),
          ),
        ),
      ]
      for (let move = 0; move < MOVES[form]; move++) {
        await cluster.moveLeader()
        await sleep(chance.between(50, 400))
      }
      over.abort()
      await Promise.all(work)
    })
    const { reads, cycles, writes, unknown, lost } = counts
    findings.note(
      `${MOVES[form]} moves, ${reads} reads and ${cycles} locks without a failure, ${lost} sessions lost, outcome unknown for ${unknown} of ${writes} writes`,
    )
    findings.expect(lost === 0, `${lost} sessions were lost`)
    return findings.verdict
  },
}

/** When the first of ever new writes succeeded. */
async function firstWriteAtMs(etcd: Etcd): Promise<number> {
  const until = new AbortController()
  const first = new Promise<number>(resolve => {
    void (async () => {
      while (!until.signal.aborted) {
        // Nobody waits for one that hangs: the next may find the new leader.
        void etcd.put('leader-killed', 'v', { signal: until.signal }).then(
          () => resolve(performance.now()),
          () => {},
        )
        await sleep(PROBE_EVERY_MS)
      }
    })()
  })
  return first.finally(() => until.abort())
}

/** One client on each member first. */
async function withClients(
  cluster: FaultyCluster,
  use: (clients: readonly Etcd[]) => Promise<void>,
): Promise<void> {
  const { endpoints } = cluster
  const clients = await Promise.all(
    endpoints.map((_, index) => connect([...endpoints.slice(index), ...endpoints.slice(0, index)])),
  )
  for (const etcd of clients) etcd.on('warning', () => {})
  try {
    await use(clients)
  } finally {
    await Promise.all(clients.map(etcd => etcd.close().catch(() => {})))
  }
}

function withSessions(
  cluster: FaultyCluster,
  ttl: number,
  use: (sessions: readonly Session[], clients: readonly Etcd[]) => Promise<void>,
): Promise<void> {
  return withClients(cluster, async clients => {
    const sessions = await Promise.all(
      clients.flatMap(etcd => [etcd.session({ ttl }), etcd.session({ ttl })]),
    )
    await use(sessions, clients)
  })
}
