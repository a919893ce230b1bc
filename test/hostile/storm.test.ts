import test from 'ava'
import { startEtcd } from '../../src/embedded/index.ts'
import { compare, connect, type Etcd, EtcdError, op, prefix, type Session } from '../../src/index.ts'
import { hurriedRuntime } from '../leaks/hurried-runtime.ts'
import { Random } from '../support/differential/random.ts'
import { mutated } from './mutation.ts'
import { TamperingTransport } from './tampering-transport.ts'

const seeds = Number(process.env.QUORATE_STORM_SEEDS ?? 12)
const WORKERS = 6
const DEEDS = 60
/** Of every message that comes from the server. */
const TAMPERED = 0.15

const GIVEN_UP = new Error('given up')

for (let seed = 1; seed <= seeds; seed++) {
  test.serial(
    `in storm ${seed} of tampered answers every call settles, with an answer or a clear error`,
    async t => {
      t.timeout(60_000)
      const random = new Random(seed)
      const runtime = hurriedRuntime()
      const server = await startEtcd({ port: false, runtime })
      const transport = new TamperingTransport(server.transport)
      // In milliseconds of a hurried runtime.
      const patience = { connectTimeoutMs: 60_000_000, requestTimeoutMs: 300_000 }
      const open = () => connect(server.endpoints, { transport, runtime, ...patience })
      const etcd = await open()
      const sessions = [await etcd.session({ ttl: 9_000_000 }), await etcd.session({ ttl: 9_000_000 })]
      const seen: Uint8Array[] = [new Uint8Array(0)]
      transport.tamper = message => {
        if (seen.length < 100) seen.push(message)
        return random.chance(TAMPERED) ? mutated(message, random, seen) : message
      }
      let understood = 0
      const strange: unknown[] = []
      const worker = async () => {
        for (let deed = 0; deed < DEEDS; deed++) {
          try {
            await anything(random, etcd, random.pick(sessions))
            understood++
          } catch (error) {
            if (error !== GIVEN_UP && !EtcdError.is(error)) strange.push(error)
          }
        }
      }
      await Promise.all(Array.from({ length: WORKERS }, worker))
      t.deepEqual(strange, [])
      t.true(understood > 0)
      await etcd
        .close()
        .catch(error => t.true(error instanceof AggregateError || EtcdError.is(error), error.stack))

      // The calm after it: the server was never harmed, and whoever comes now is served.
      transport.tamper = message => message
      const calm = await open()
      for (const id of await calm.lease.list()) await calm.lease.revoke(id)
      const session = await calm.session({ ttl: 9_000_000 })
      for (const name of LOCKS) await (await session.mutex(name).lock()).unlock()
      await calm.close()
      await server.close()
    },
  )
}

const LOCKS = ['locks/a', 'locks/b']

async function anything(random: Random, etcd: Etcd, session: Session): Promise<void> {
  const key = `keys/${random.between(1, 5)}`
  const lock = random.pick(LOCKS)
  switch (random.between(1, 9)) {
    case 1:
      return void (await etcd.put(key, 'value', { previous: true }))
    case 2:
      return void (await etcd.get(key))
    case 3:
      return void (await etcd.range(prefix('keys/'), { limit: 2 }))
    case 4:
      return void (await etcd.delete(key, { previous: true }))
    case 5:
      return void (await etcd.txn({
        if: [compare(key).version.greaterThan(0n)],
        then: [op.get(key), op.range(prefix('keys/')), op.txn({ then: [op.put(key, 'nested')] })],
        else: [op.put(key, 'new')],
      }))
    case 6: {
      const hold = await session.mutex(lock).tryLock()
      return void (await patiently(signal => hold?.unlock({ signal }) ?? Promise.resolve()))
    }
    case 7: {
      const hold = await patiently(signal => session.mutex(lock).lock({ signal }))
      return void (await patiently(signal => hold.unlock({ signal })))
    }
    case 8: {
      const watch = etcd.watch(prefix('keys/'), { from: random.chance(0.5) ? 1n : undefined, previous: true })
      const next = watch.revisions().next()
      next.catch(() => {})
      await patiently(signal => Promise.race([watch.ready, aborted(signal)])).finally(() => watch.close())
      return
    }
    default: {
      const { id } = await etcd.lease.grant(1_000_000)
      await etcd.lease.timeToLive(id, { keys: true })
      await etcd.lease.revoke(id)
      return void (await session.mutex(lock).waiters())
    }
  }
}

async function patiently<Result>(wait: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const patience = new AbortController()
  const timer = setTimeout(() => patience.abort(GIVEN_UP), 100)
  return wait(patience.signal).finally(() => clearTimeout(timer))
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}
