/**
 * One worker: locks, writes `begin` into the ledger, works, counts the job in etcd, writes `end`, unlocks.
 *
 * It is careless on purpose: after its work it writes without asking whether the lock is still its own, as a
 * program does that was stopped at the wrong moment. What keeps the ledger right is the token alone.
 *
 * Besides, it stands for election all the time, and leads the crew whenever it is its turn.
 */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { compare, connect, type Etcd, EtcdError, type Hold, op, type Session } from '../../src/index.ts'
import { counterKey, type Entry, electionName, type FromWorker, type ToWorker } from './messages.ts'

const workMs = 60
/** Short, so that nobody who watches has to wait long for the lease of the dead. */
const ttl = 2

const worker = process.argv[2] ?? 'worker'
const answers = new Map<number, (accepted: boolean) => void>()
const rest = new AbortController()
const finish = new AbortController()
let writes = 0

// Nothing of the demo outlives it.
process.on('disconnect', () => process.exit())
process.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'go':
      return void work(message.endpoint, message.name)
    case 'answer':
      return answers.get(message.number)?.(message.accepted)
    case 'rest':
      return rest.abort()
    case 'finish':
      return finish.abort()
  }
})
tell({ kind: 'ready' })

async function work(endpoint: string, name: string): Promise<void> {
  const etcd = await connect(endpoint)
  // It warns that two seconds are little; here that is the point.
  etcd.on('warning', () => {})
  await Promise.all([lead(etcd), doJobs(etcd, name)])
  await etcd.close()
  process.disconnect()
}

async function doJobs(etcd: Etcd, name: string): Promise<void> {
  await withSessions(etcd, rest.signal, async session => {
    await using hold = await session.mutex(name).lock({ signal: rest.signal })
    await job(etcd, hold)
  })
  tell({ kind: 'rests' })
}

async function lead(etcd: Etcd): Promise<void> {
  await withSessions(etcd, finish.signal, async session => {
    await using leadership = await session.election(electionName).campaign(worker, { signal: finish.signal })
    await once(AbortSignal.any([leadership.signal, finish.signal]), 'abort')
  })
}

/** Again and again until the signal aborts, with a new session whenever the last one was lost. */
async function withSessions(
  etcd: Etcd,
  signal: AbortSignal,
  body: (session: Session) => Promise<unknown>,
): Promise<void> {
  while (!signal.aborted) {
    await using session = await etcd.session({ ttl, owner: worker })
    while (!signal.aborted && session.state !== 'lost') {
      try {
        await body(session)
      } catch (error) {
        // A lost session is followed by a new one, a finished demo by nothing.
        if (!EtcdError.is(error) && !signal.aborted) throw error
      }
    }
  }
}

async function job(etcd: Etcd, hold: Hold): Promise<void> {
  const token = String(hold.fencingToken)
  if (!(await write({ what: 'begin', token, worker }))) return
  await sleep(workMs)
  const believed = hold.held ? 'held' : 'lost'
  const counted = await count(etcd, hold)
  const written = await write({ what: 'end', token, worker })
  tell({
    kind: 'job',
    token,
    believed,
    ledger: written ? 'accepted' : 'refused',
    etcd: counted ? 'applied' : 'refused',
  })
}

/** One more job done: applied only if the lock is ours at the very revision of the write. */
async function count(etcd: Etcd, hold: Hold): Promise<boolean> {
  const counter = await etcd.get(counterKey)
  const { succeeded } = await etcd.txn({
    if: [hold.guard(), compare(counterKey).modRevision.equals(counter?.modRevision ?? 0n)],
    then: [op.put(counterKey, String(Number(counter?.text() ?? 0) + 1))],
  })
  return succeeded
}

/** Resolves with whether the ledger took it. */
function write(entry: Entry): Promise<boolean> {
  const number = ++writes
  return new Promise(resolve => {
    answers.set(number, accepted => {
      answers.delete(number)
      resolve(accepted)
    })
    tell({ kind: 'write', number, entry })
  })
}

function tell(message: FromWorker): void {
  process.send?.(message)
}
