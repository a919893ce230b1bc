import { connect, type Etcd, EtcdError, type Outcome } from '../../../src/index.ts'
import { startEtcd } from '../../support/etcd-server.ts'
import { FILLING_BYTES, FILLING_KEY, makeRoom } from '../room.ts'
import { Findings, type Scenario, timed } from '../scenario.ts'

const QUOTA_BYTES = 12 * 2 ** 20
const ROUNDS = { short: 1, long: 10 }
/** At once: those that found room when they were looked at and none when they were applied tell the most. */
const WRITES = 48
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
    const counts = { ok: 0, 'not-sent': 0, rejected: 0, unknown: 0, found: 0 }
    const [refused, recovered]: [number[], number[]] = [[], []]
    for (let round = 0; round < ROUNDS[form]; round++) {
      await using session = await etcd.session({ ttl: 10 })
      await using other = await etcd.session({ ttl: 10 })
      const hold = await session.mutex('full').lock()
      const waiting = other.mutex('full').lock()
      while ((await etcd.mutex('full').waiters()).length === 0) await etcd.get('full')
      for (const { key, outcome } of await fill(etcd, round)) {
        counts[outcome]++
        const isThere = (await etcd.get(key)) !== undefined
        if (isThere && outcome !== 'ok') counts.found++
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
      recovered.push(
        await timed(async () => {
          await next.unlock()
          await (await session.mutex('full').lock()).unlock()
        }),
      )
    }
    findings.note(
      `${ROUNDS[form] * WRITES} writes at the edge: done ${counts.ok}, refused ${counts.rejected}, unknown ${counts.unknown}; of those not done ${counts.found} were applied`,
    )
    findings.within('a refusal', refused, REFUSAL_MS)
    findings.within('a lock after the repair', recovered, RECOVERY_MS)
    return findings.verdict
  },
}

interface Filled {
  readonly key: string
  readonly outcome: Outcome | 'ok'
}

async function fill(etcd: Etcd, round: number): Promise<readonly Filled[]> {
  const value = new Uint8Array(FILLING_BYTES)
  return Promise.all(
    Array.from({ length: WRITES }, async (_, write): Promise<Filled> => {
      const key = `${FILLING_KEY}${round}-${write}`
      try {
        await etcd.put(key, value)
        return { key, outcome: 'ok' }
      } catch (error) {
        if (!EtcdError.is(error)) throw error
        return { key, outcome: error.outcome }
      }
    }),
  )
}
