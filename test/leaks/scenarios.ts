import { EtcdError, prefix, type Watch } from '../../src/index.ts'
import { hurriedRuntime } from './hurried-runtime.ts'
import type { Scenario } from './scenario.ts'

/** Longer than any run, at any pace. */
const LONG_TTL = 9_000_000

export const scenarios: readonly Scenario[] = [
  {
    name: 'lock and unlock',
    async open({ connect, signal }) {
      const etcd = await connect()
      const session = await etcd.session()
      return {
        async cycle(index) {
          // A name of its own every other time: what is kept by name must go, too.
          const name = index % 2 === 0 ? 'locks/same' : `locks/${index}`
          const hold = await session.mutex(name).lock({ signal })
          await hold.unlock({ signal })
        },
        close: () => etcd.close(),
      }
    },
  },
  {
    name: 'lock, wait and hand over',
    async open({ connect, signal }) {
      const etcd = await connect()
      const first = await etcd.session()
      const second = await etcd.session()
      return {
        async cycle() {
          const held = await first.mutex('locks/wanted').lock({ signal })
          const waiting = second.mutex('locks/wanted').lock({ signal })
          await held.unlock({ signal })
          const next = await waiting
          await next.unlock({ signal })
        },
        close: () => etcd.close(),
      }
    },
  },
  {
    name: 'tryLock, free and taken',
    async open({ connect, signal }) {
      const etcd = await connect()
      const first = await etcd.session()
      const second = await etcd.session()
      return {
        async cycle(index) {
          const name = index % 2 === 0 ? 'tries/same' : `tries/${index}`
          const hold = await first.mutex(name).tryLock({ signal })
          if (hold === undefined) throw new Error('a free lock was taken')
          if (await second.mutex(name).tryLock({ signal })) throw new Error('a taken lock was free')
          await hold.unlock()
        },
        close: () => etcd.close(),
      }
    },
  },
  {
    name: 'read, write, change the mode, and hand over',
    async open({ connect, signal }) {
      const etcd = await connect()
      const first = await etcd.session()
      const second = await etcd.session()
      return {
        async cycle() {
          // One name: the watch of each that was contended stays for some seconds.
          const name = 'shared'
          const [one, other] = await Promise.all([
            first.rwMutex(name).readLock({ signal }),
            second.rwMutex(name).readLock({ signal }),
          ])
          const writing = second.rwMutex(name).writeLock({ signal })
          await other.unlock({ signal })
          await one.tryUpgrade({ signal })
          await one.unlock({ signal })
          const writer = await writing
          await writer.downgrade({ signal })
          await writer.unlock({ signal })
        },
        close: () => etcd.close(),
      }
    },
  },
  {
    name: 'lock several, wait and hand over',
    async open({ connect, signal }) {
      const etcd = await connect()
      const first = await etcd.session()
      const second = await etcd.session()
      return {
        async cycle() {
          const held = await first.lockAll(['sets/a', 'sets/b'], { signal })
          const waiting = second.lockAll(['sets/b', 'sets/c'], { signal })
          await held.unlock({ signal })
          await (await waiting).unlock({ signal })
        },
        close: () => etcd.close(),
      }
    },
  },
  {
    name: 'acquire permits, wait and release',
    async open({ connect, signal }) {
      const etcd = await connect()
      const first = await etcd.session()
      const second = await etcd.session()
      return {
        async cycle() {
          const both = await first.semaphore('seats', { permits: 2 }).acquire({ count: 2, signal })
          const waiting = second.semaphore('seats', { permits: 2 }).acquire({ signal })
          await both.release({ signal })
          await (await waiting).release({ signal })
        },
        async close() {
          // The limit stays, as it is to.
          await etcd.delete(prefix('seats/'))
          await etcd.close()
        },
      }
    },
  },
  {
    name: 'campaign, proclaim, observe and resign',
    async open({ connect, signal }) {
      const etcd = await connect()
      const first = await etcd.session()
      const second = await etcd.session()
      return {
        async cycle() {
          const leading = await first.election('office').campaign('one', { signal })
          const waiting = second.election('office').campaign('two', { signal })
          for await (const leader of etcd.election('office').observe({ signal })) if (leader) break
          await leading.proclaim('more', { signal })
          await leading.resign({ signal })
          await (await waiting).resign({ signal })
        },
        close: () => etcd.close(),
      }
    },
  },
  {
    name: 'meet at barriers and a latch',
    async open({ connect, signal }) {
      const etcd = await connect()
      const first = await etcd.session()
      const second = await etcd.session()
      return {
        async cycle() {
          const hold = await etcd.barrier('gate').hold({ signal })
          const waiting = etcd.barrier('gate').wait({ signal })
          await hold.release({ signal })
          await waiting
          const both = [first, second].map(session => session.cyclicBarrier('rounds', 2).await({ signal }))
          await Promise.all(both)
          await etcd.latch('latch').trySetCount(1, { signal })
          await etcd.latch('latch').countDown(undefined, { signal })
          await etcd.latch('latch').wait({ signal })
        },
        async close() {
          // What says how far they are stays, as it is to.
          for (const name of ['gate', 'rounds', 'latch']) await etcd.delete(prefix(name))
          await etcd.close()
        },
      }
    },
  },
  {
    name: 'give up waiting for a lock',
    async open({ connect, signal }) {
      const etcd = await connect()
      const holder = await etcd.session()
      const waiter = await etcd.session()
      await holder.mutex('locks/kept').lock()
      const enough = new Error('enough')
      return {
        async cycle(index) {
          const patience = new AbortController()
          const waiting = waiter.mutex('locks/kept').lock({ signal: patience.signal })
          // Given up before it was sent, while it is on its way, and while it stands in line.
          for (let trips = index % 3; trips > 0; trips--) await etcd.get('locks/kept', { signal })
          patience.abort(enough)
          await waiting.then(
            () => {
              throw new Error('it was never free')
            },
            error => {
              if (error !== enough) throw error
            },
          )
        },
        close: () => etcd.close(),
      }
    },
  },
  {
    name: 'give up waiting for another task of the session',
    async open({ connect }) {
      const etcd = await connect()
      const session = await etcd.session({ ttl: LONG_TTL })
      const held = await session.mutex('locks/kept').lock()
      return {
        async cycle() {
          const leaving = new AbortController()
          const left = session.mutex('locks/kept').lock({ signal: leaving.signal })
          leaving.abort()
          await left.catch(() => {})
        },
        async close() {
          await held.unlock()
          await etcd.close()
        },
      }
    },
  },
  {
    name: 'transactions, alone, together and waiting',
    async open({ connect, signal }) {
      const etcd = await connect()
      return {
        async cycle(index) {
          const count = (key: string) =>
            etcd.stm(
              async tx => {
                tx.put(key, String(Number((await tx.get(key))?.text() ?? 0) + 1))
              },
              { signal },
            )
          const last = `${index}`
          const waiting = etcd.stm(async tx => tx.check((await tx.get('stm/last'))?.text() === last), {
            signal,
          })
          await Promise.all([count('stm/same'), count('stm/same'), count(`stm/${index % 7}`)])
          await etcd.stm(tx => tx.put('stm/last', last), { signal })
          await waiting
          const patience = new AbortController()
          const never = etcd.stm(async tx => tx.check(await tx.get('stm/never')), { signal: patience.signal })
          patience.abort()
          await never.catch(() => {})
        },
        async close() {
          await etcd.delete(prefix('stm/'))
          await etcd.close()
        },
      }
    },
  },
  {
    name: 'watch and cancel',
    async open({ connect, signal }) {
      const etcd = await connect()
      return {
        async cycle(index) {
          const watch = etcd.watch(prefix('watched/'), { signal })
          await watch.ready
          if (index % 2 === 0) {
            await etcd.put('watched/key', 'value', { signal })
            await firstOf(watch)
          }
          await watch.close()
        },
        close: () => etcd.close(),
      }
    },
  },
  {
    name: 'open and close a session',
    async open({ connect, signal }) {
      const etcd = await connect()
      return {
        async cycle() {
          const session = await etcd.session({ signal })
          await session.close()
        },
        close: () => etcd.close(),
      }
    },
  },
  {
    name: 'connect and close',
    async open({ connect, signal }) {
      return {
        async cycle() {
          const etcd = await connect({ signal })
          await etcd.get('key', { signal })
          await etcd.close()
        },
        close: async () => {},
      }
    },
  },
  {
    name: 'lose the connection and reconnect',
    runtime: hurriedRuntime,
    async open({ connect, signal, server }) {
      const etcd = await connect()
      const session = await etcd.session({ ttl: LONG_TTL })
      await session.mutex('locks/through').lock()
      const watch = etcd.watch(prefix('through/'), { signal })
      const events = watch.revisions()
      await watch.ready
      return {
        async cycle() {
          server.faults.disconnect()
          await written(() => etcd.put('through/key', 'value', { signal }))
          await events.next()
        },
        async close() {
          // What is given five seconds otherwise would get five milliseconds.
          await session.close({ timeoutMs: 60_000_000 })
          await etcd.close()
        },
      }
    },
  },
]

async function firstOf(watch: Watch): Promise<void> {
  for await (const _ of watch) return
}

/** A put is not repeated when its outcome is unknown; here twice is as good as once. */
async function written(put: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await put()
      return
    } catch (error) {
      if (!EtcdError.is(error) || error.outcome === 'rejected') throw error
    }
  }
}
