/**
 * Moves money between the accounts below a prefix, in a process of its own, and says how often it was done.
 *
 *     node stm-teller.js host:port PREFIX ROUNDS SEED
 */
import { connect, EtcdError } from '../../../src/index.ts'

const [endpoint, accounts, rounds, seed] = process.argv.slice(2)
if (endpoint === undefined || accounts === undefined)
  throw new Error('usage: stm-teller ENDPOINT PREFIX ROUNDS SEED')

const etcd = await connect(endpoint)
etcd.on('warning', () => {})
let state = Number(seed)
const random = (below: number) => {
  state = (state * 1103515245 + 12345) % 2147483648
  return Math.floor((state / 2147483648) * below)
}

/** Whatever the network does, each is tried until it is known to be done. */
async function transfer(from: string, to: string, amount: number): Promise<void> {
  for (;;) {
    try {
      await etcd.stm(
        async tx => {
          const [a, b] = await tx.getMany([from, to])
          const moved = Math.min(amount, Number(a?.text()))
          tx.put(from, String(Number(a?.text()) - moved))
          tx.put(to, String(Number(b?.text()) + moved))
          tx.put(
            `${accounts}done/${process.pid}`,
            String(Number((await tx.get(`${accounts}done/${process.pid}`))?.text() ?? 0) + 1),
          )
        },
        { exactlyOnce: { prefix: `${accounts}markers/` }, maxAttempts: 10_000 },
      )
      return
    } catch (error) {
      // Nothing was written: once more.
      if (!EtcdError.is(error) || error.outcome === 'unknown') throw error
    }
  }
}

const account = () => `${accounts}account/${random(5)}`
await Promise.all(
  Array.from({ length: 4 }, async () => {
    for (let round = 0; round < Number(rounds); round++) {
      const from = account()
      const to = account()
      if (from === to) await transfer(from, `${accounts}account/5`, random(20))
      else await transfer(from, to, random(20))
    }
  }),
)
await etcd.close()
