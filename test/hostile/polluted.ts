/**
 * Uses the library again and again, each time with another field put into `Object.prototype`, and tells where it
 * then did anything else than without. Prints a list of what differed as JSON.
 */
import { startEtcd } from '../../src/embedded/index.ts'
import { compare, connect, type Etcd, EtcdError, op, prefix, type Runtime } from '../../src/index.ts'
import { nodeRuntime } from '../../src/support/node-runtime.ts'
import type { Endpoint, Link, LinkOptions, LinkState, Transport } from '../../src/support/transport.ts'
import { types } from '../wire/reflection.ts'

/** What careless merging of JSON can bring. */
const VALUES: readonly unknown[] = [true, 1, 'serializable', { key: 'x' }]

/** What the library takes or hands on inside; all fields of all messages come on top. */
const OPTIONS: readonly string[] = `
  signal credentials username password tls ca cert key serverName connectTimeoutMs requestTimeoutMs transport runtime
  timeoutMs revision consistency limit sort by order only minModRevision maxModRevision minCreateRevision
  maxCreateRevision pageSize previous lease keep physical id keys ttl resume owner metadata from progress maxBuffered
  if then else memberId kind endpoint learner access atLeast noMoreAttempts onUnanswered onSend repeat footprint
  reads writes avoid lane filter startRevision onBreak values rule cause outcome compactRevision grpcStatus host pid
  sinceMs v pingIntervalMs pingTimeoutMs min max keepAlive sent status isAdmin polluted
`
  .trim()
  .split(/\s+/)

const fields = types.flatMap(type => [...type.fieldsArray, ...type.oneofsArray].map(({ name }) => name))
/** Read by the embedded etcd as well, which shares this process only here. */
const SERVER_READS: ReadonlySet<string> = new Set(['countOnly'])
const names = [...new Set([...OPTIONS, ...fields])].filter(name => !SERVER_READS.has(name))

/** What was asked of the server, and what came of it: equal bytes, or it was not the same. */
type Transcript = readonly string[]

class Recorder implements Transport {
  readonly lines: string[] = []
  readonly #inner: Transport

  constructor(inner: Transport) {
    this.#inner = inner
  }

  connect(endpoint: Endpoint, options: LinkOptions, changed: (state: LinkState) => void): Link {
    this.lines.push(`connect ${endpoint.url} ${Object.keys(options)}`)
    const link = this.#inner.connect(endpoint, options, changed)
    return {
      get state() {
        return link.state
      },
      unary: (path, request, metadata, settled) => {
        this.lines.push(`${path} ${hex(request)} ${Object.entries(metadata)}`)
        return link.unary(path, request, metadata, settled)
      },
      stream: (path, metadata, events) => {
        this.lines.push(`${path} ${Object.entries(metadata)}`)
        const stream = link.stream(path, metadata, events)
        return {
          send: message => {
            this.lines.push(`${path} ${hex(message)}`)
            stream.send(message)
          },
          halfClose: () => stream.halfClose(),
          cancel: () => stream.cancel(),
        }
      },
      close: () => link.close(),
    }
  }
}

/** The same bytes and the same wall clock each time. */
function steadyRuntime(): Runtime {
  let drawn = 0
  return {
    ...nodeRuntime(),
    wallNow: () => 1_700_000_000_000,
    random: () => 0.5,
    randomBytes: length => {
      drawn++
      return new Uint8Array(length).map((_, index) => (drawn * 31 + index * 7) & 0x7f)
    },
  }
}

async function perform(pollute: () => void): Promise<Transcript> {
  const server = await startEtcd({ port: false, runtime: steadyRuntime() })
  const recorder = new Recorder(server.transport)
  const runtime = steadyRuntime()
  pollute()
  const etcd = await connect(server.endpoints, { transport: recorder, runtime })
  const told = await everything(etcd)
  await etcd.close()
  await server.close()
  return [...recorder.lines, ...told]
}

async function everything(etcd: Etcd): Promise<string[]> {
  const app = etcd.namespace('app/')
  const watch = app.watch(prefix('k'))
  await watch.ready
  const put = await app.put('k', 'v')
  const { value: event } = await watch[Symbol.asyncIterator]().next()
  const got = await app.get('k')
  const ranged = await app.range(prefix('k'), {})
  const pages = await app.pages(prefix('k'))[Symbol.asyncIterator]().next()
  const txn = await app.txn({
    if: [compare('k').version.equals(1n)],
    then: [op.put('k', 'w'), op.get('k'), op.txn({ then: [op.delete('x'), op.put('m', 'n')] })],
  })
  const granted = await app.lease.grant(60)
  const left = await app.lease.timeToLive(granted.id)
  await app.lease.revoke(granted.id)
  const session = await app.session()
  const hold = await session.mutex('l').lock()
  const [contender] = [await app.mutex('l').holder()]
  const guarded = await hold.txn({ then: [op.put('guarded', '1')] })
  await hold.unlock()
  const tried = await session.mutex('l').tryLock()
  await tried?.unlock()
  const users = await etcd.auth.users()
  const members = await etcd.cluster.members()
  const refused = await etcd.get('k', { revision: 10_000n }).catch(error => error as EtcdError)
  await session.close()
  await watch.close()
  return [
    ...[put, event, got, ranged, pages, txn, left, contender, guarded, users, members.length].map(shown),
    shown(EtcdError.is(refused) ? { ...refused } : 'not refused'),
    shown([session.ttl, hold.fencingToken, tried?.fencingToken]),
  ]
}

/** Own fields only, whatever there is to inherit. */
function shown(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Uint8Array) return hex(value)
  if (Array.isArray(value)) return `[${value.map(shown)}]`
  if (typeof value !== 'object' || value === null) return String(value)
  const own = Object.entries(value).filter(([, field]) => field !== undefined)
  return `{${own.map(([name, field]) => `${name}: ${shown(field)}`)}}`
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

const clean = await perform(() => {})
const differences: string[] = []
if (clean.join('\n') !== (await perform(() => {})).join('\n')) differences.push('two clean runs')
for (const name of names) {
  for (const value of VALUES) {
    const told = await Promise.race([attempt(name, value), patience()])
    Reflect.deleteProperty(Object.prototype, name)
    if (told !== undefined) differences.push(`${name} = ${JSON.stringify(value)}: ${told}`)
  }
}
process.stdout.write(JSON.stringify({ names: names.length, lines: clean.length, differences }), () =>
  process.exit(),
)

async function attempt(name: string, value: unknown): Promise<string | undefined> {
  try {
    const polluted = await perform(() => {
      Object.defineProperty(Object.prototype, name, {
        value,
        writable: true,
        enumerable: true,
        configurable: true,
      })
    })
    const index = clean.findIndex((line, at) => line !== polluted[at])
    return index < 0 ? undefined : `${polluted[index]} instead of ${clean[index]}`
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
}

function patience(): Promise<string> {
  return new Promise(resolve => setTimeout(resolve, 20_000, 'it hangs').unref())
}
