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
        close: () => etcd.close(),
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
