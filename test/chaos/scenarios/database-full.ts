import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Etcd, EtcdError, type Outcome, prefix, type Session } from '../../../src/index.ts'
import { startEtcd } from '../../support/etcd-server.ts'
import { FILLING_BYTES, FILLING_KEY, makeRoom } from '../room.ts'
import { Findings, type Scenario } from '../scenario.ts'
import { type Timing, timed } from '../stalls.ts'

const QUOTA_BYTES = 12 * 2 ** 20
const ROUNDS = { short: 1, long: 10 }
/** At once: those that found room when they were looked at and none when they were applied tell the most. */
const WRITES = 32
/** As many locks are asked for in the same moment. */
const PLACES = 24
const REFUSAL_MS = 1000
const RECOVERY_MS = 5000

export const databaseFull: Scenario = {
  name: 'database-full',
  promise:
    'a full database refuses with a word that is true, keeps locks, lets them go, and is back when repaired',
  runs: 'alone',
  async run({ series, form }) {
    const findings = new Findings()
    await using server = await startEtcd({ series, quotaBackendBytes: QUOTA_BYTES })
    await using etcd = await connect(server.endpoint)
    const writes = { ok: 0, 'not-sent': 0, rejected: 0, unknown: 0 }
    let found = 0
    const [refused, recovered]: [Timing[], Timing[]] = [[], []]
    for (let round = 0; round < ROUNDS[form]; round++) {
      await using session = await etcd.session({ ttl: 10 })
      await using other = await etcd.session({ ttl: 10 })
      const hold = await session.mutex('full').lock()
      const waiting = other.mutex('full').lock()
      while ((await etcd.mutex('full').waiters()).length === 0) await etcd.get('full')
      const over = new AbortController()
      const filling = fill(etcd, round).finally(() => over.abort())
      const places = await standInLine(other, round, over.signal)
      const filled = await filling
      for (const { key, outcome } of filled) {
        writes[outcome]++
        const isThere = (await etcd.get(key)) !== undefined
        if (isThere && outcome !== 'ok') found++
        findings.expect(isThere || outcome !== 'ok', `${key} was said to be written and is not`)
        findings.expect(!isThere || outcome !== 'rejected', `${key} was said to be refused and is written`)
      }
      refused.push(
        await timed(() =>
          etcd
            .put(`${FILLING_KEY}more`, new Uint8Array(FILLING_BYTES))
            .then(() => findings.expect(false, 'a full database took a write'))
            .catch(error => findings.expect(EtcdError.is(error, 'NO_SPACE'), String(error))),
        ),
      )
      findings.expect(hold.held, 'a lock was lost because the database was full')
      await hold.unlock()
      const next = await waiting
      await makeRoom(etcd, server.endpoints)
      await Promise.all(places.map(async name => findings.expect(await becomesFree(etcd, name), left(name))))
      recovered.push(
        await timed(async () => {
          await next.unlock()
          await (await session.mutex('full').lock()).unlock()
        }),
      )
    }
    findings.note(
      `${Object.values(writes).reduce((sum, count) => sum + count, 0)} writes at the edge: done ${writes.ok}, refused ${writes.rejected}, unknown ${writes.unknown}; of these ${found} were applied`,
    )
    findings.within('a refusal', refused, REFUSAL_MS)
    findings.within('a lock after the repair', recovered, RECOVERY_MS)
    return findings.verdict
  },
}

/**
 * Takes and lets go locks until there is no room for them, or `signal` aborts. Of the requests that were under way just then some are
 * refused and have got a place in their line all the same: whoever was refused must not keep others waiting.
 * Resolves with the names.
 */
async function standInLine(session: Session, round: number, signal: AbortSignal): Promise<readonly string[]> {
  const names = Array.from({ length: PLACES }, (_, index) => `edge/${round}-${index}`)
  await Promise.all(
    names.map(async name => {
      try {
        while (!signal.aborted) await (await session.mutex(name).lock()).unlock()
      } catch (error) {
        if (!EtcdError.is(error, 'NO_SPACE')) throw error
      }
    }),
  )
  return names
}

async function becomesFree(etcd: Etcd, name: string): Promise<boolean> {
  const giveUpAtMs = performance.now() + RECOVERY_MS
  while ((await etcd.range(prefix(`${name}/`))).count > 0) {
    if (performance.now() > giveUpAtMs) return false
    await sleep(20)
  }
  return true
}

function left(name: string): string {
  return `a place is left in the line of ${name}, which nobody was told to hold`
}

interface Filled {
  readonly key: string
  readonly outcome: Outcome | 'ok'
  readonly code?: string
}

/** Writes so much at once, again and again, until it must be full. On a busy machine none of it may be in time. */
async function fill(etcd: Etcd, round: number): Promise<readonly Filled[]> {
  const filled: Filled[] = []
  for (let wave = 0; ; wave++) {
    filled.push(
      ...(await Promise.all(Array.from({ length: WRITES }, (_, n) => put(etcd, `${round}-${wave}-${n}`)))),
    )
    const done = filled.filter(({ outcome }) => outcome === 'ok').length
    if (done * FILLING_BYTES >= QUOTA_BYTES || filled.some(({ code }) => code === 'NO_SPACE')) return filled
  }
}

async function put(etcd: Etcd, name: string): Promise<Filled> {
  const key = `${FILLING_KEY}${name}`
  try {
    await etcd.put(key, new Uint8Array(FILLING_BYTES))
    return { key, outcome: 'ok' }
  } catch (error) {
    if (!EtcdError.is(error)) throw error
    return { key, outcome: error.outcome, code: error.code }
  }
}
