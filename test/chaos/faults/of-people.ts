import { type Etcd, EtcdError, type KeyValue, prefix } from '../../../src/index.ts'
import { sharedNowMs } from '../clock.ts'
import { FILLING_BYTES, FILLING_KEY, makeRoom } from '../room.ts'
import { marksOf } from '../session-marks.ts'
import { compactTo, type Fault, NOTHING_TO_UNDO, type Stage } from '../stage.ts'

/** What happens to the users of the library, and what operators do. */
export const peopleFaults: readonly Fault[] = [
  {
    name: 'process stopped',
    weight: 5,
    lasts: [200, 8000],
    async strike({ crew, chance, journal }) {
      const name = chance.of(crew.names)
      const from = sharedNowMs()
      crew.stop(name)
      return async () => {
        crew.go(name)
        journal.begin('stalls', { process: name, from, until: sharedNowMs() })
      }
    },
  },
  {
    name: 'process crashed',
    weight: 3,
    lasts: [0, 0],
    async strike({ crew, chance }) {
      await crew.replace(chance.of(crew.expendable))
      return NOTHING_TO_UNDO
    },
  },
  {
    name: 'lease revoked',
    weight: 3,
    lasts: [0, 0],
    async strike(stage) {
      await intervene(stage, 'lease-revoked', (etcd, kv) => etcd.lease.revoke(kv.lease, { timeoutMs: 3000 }))
      return NOTHING_TO_UNDO
    },
  },
  {
    name: 'key deleted',
    weight: 4,
    lasts: [0, 0],
    async strike(stage) {
      await intervene(stage, 'key-deleted', (etcd, kv) => etcd.delete(kv.key, { timeoutMs: 3000 }))
      return NOTHING_TO_UNDO
    },
  },
  {
    name: 'compacted',
    weight: 8,
    lasts: [0, 0],
    async strike(stage) {
      await compactTo(stage.cluster.control, await stage.recorded())
      return NOTHING_TO_UNDO
    },
  },
  {
    name: 'database full',
    weight: 1,
    lasts: [200, 2000],
    async strike({ cluster, journal, recorded }) {
      journal.begin('shortages', { at: sharedNowMs() })
      await fill(cluster.control)
      // Full or not: what it put there goes.
      return () => makeRoom(cluster.control, cluster.endpoints, recorded)
    },
  },
]

/** Takes somebody's place away, holder or waiter. */
async function intervene(
  stage: Stage,
  kind: 'lease-revoked' | 'key-deleted',
  act: (etcd: Etcd, place: KeyValue) => Promise<unknown>,
): Promise<void> {
  const etcd = stage.cluster.control
  const { kvs, revision } = await etcd.range(prefix(stage.round.prefix), { timeoutMs: 3000 })
  const places = kvs.filter(kv => kv.lease !== 0n && !kv.name().startsWith(marksOf(stage.round.prefix)))
  if (places.length === 0) throw new Error('nobody is there to be struck')
  const place = stage.chance.of(places)
  const key = Buffer.from(place.key).toString('latin1')
  const fields = { kind, key, after: revision }
  const id = stage.journal.begin('interventions', { ...fields, at: sharedNowMs() })
  await act(etcd, place).finally(() => stage.journal.more('interventions', id, { at: sharedNowMs() }))
}

async function fill(etcd: Etcd): Promise<void> {
  const value = Buffer.alloc(FILLING_BYTES, 'x')
  for (let part = 0; part < 200; part++) {
    try {
      await etcd.put(`${FILLING_KEY}${part}`, value, { timeoutMs: 3000 })
    } catch (error) {
      if (EtcdError.is(error, 'NO_SPACE')) return
      // Elsewhere members die: what did not fit in now is left out.
    }
  }
}
