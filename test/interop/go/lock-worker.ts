/**
 * The Node side of the contended lock: what `lock-loop` of the Go peer does, with the same flags, the same
 * guard and the same events, so that the two can be put in one order.
 *
 *     node lock-worker.js -endpoint=host:port -name=NAME -rounds=N -guard=KEY
 */
import { parseArgs } from 'node:util'
import { connect, type Etcd, type Session } from '../../../src/index.ts'

/** Status of the Go peer for the same. */
const OVERLAP = 3

const { endpoint, name, rounds, guard } = flagsOf(process.argv.slice(2))
await main()

async function main(): Promise<void> {
  await using etcd = await connect(endpoint)
  await using session = await etcd.session({ ttl: 10 })
  say('ready', { lease: session.leaseId.toString(16) })
  const mutex = session.mutex(name)
  for (let round = 0; round < rounds; round++) {
    const hold = await mutex.lock()
    say('acquired', { key: hold.key, token: hold.fencingToken })
    if (!(await wasAlone(etcd, session))) {
      process.exitCode = OVERLAP
      return
    }
    say('releasing', { key: hold.key })
    await hold.unlock()
    say('released', { key: hold.key })
  }
}

/** Plain reads and writes on purpose: a compare would repair the very overlap it is there to find. */
async function wasAlone(etcd: Etcd, session: Session): Promise<boolean> {
  const found = (await etcd.get(guard))?.text() ?? 'free'
  if (found !== 'free') return overlap(found)
  const busy = `busy:${session.leaseId.toString(16)}`
  await etcd.put(guard, busy)
  const still = (await etcd.get(guard))?.text()
  if (still !== busy) return overlap(String(still))
  await etcd.put(guard, 'free')
  return true
}

function overlap(found: string): false {
  say('overlap', { guard: found })
  return false
}

function say(event: string, fields: Readonly<Record<string, string | bigint | Uint8Array>>): void {
  const shown = Object.entries(fields).map(([field, value]) => [
    field,
    value instanceof Uint8Array ? Buffer.from(value).toString() : String(value),
  ])
  const line = { event, ns: String(process.hrtime.bigint()), ...Object.fromEntries(shown) }
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

function flagsOf(args: readonly string[]): {
  readonly endpoint: string
  readonly name: string
  readonly rounds: number
  readonly guard: string
} {
  const { values } = parseArgs({
    // Go writes flags with one dash.
    args: args.map(arg => `-${arg}`),
    options: {
      endpoint: { type: 'string' },
      name: { type: 'string' },
      rounds: { type: 'string' },
      guard: { type: 'string' },
    },
  })
  const { endpoint, name, rounds, guard } = values
  if (endpoint === undefined || name === undefined || guard === undefined)
    throw new TypeError('lock-worker needs -endpoint, -name and -guard')
  return { endpoint, name, rounds: Number(rounds ?? 1), guard }
}
