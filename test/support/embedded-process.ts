/**
 * An embedded etcd in a process of its own: options as JSON in, endpoints as JSON out, until SIGTERM. What is to
 * happen to one of several members comes as a message.
 */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type EmbeddedOptions, startEtcd } from '../../src/embedded/index.ts'

/** The options of `startEtcd`, with the names of files where it takes what is in them. */
export interface HostOptions extends Omit<EmbeddedOptions, 'tls' | 'runtime' | 'snapshot'> {
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string } | undefined
}

/** What can be done to one member of several. */
export interface MemberFault {
  readonly member: number
  readonly what: 'pause' | 'resume' | 'kill' | 'restart'
}

const options = JSON.parse(process.argv[2] ?? '{}') as HostOptions
const members = options.members ?? 1
const server = await startEtcd({ ...options, tls: await read(options.tls) })
const lifts = new Map<number, () => void>()
const down = new Set<number>()
let liftLeaderless: (() => void) | undefined

process.on('message', ({ member, what }: MemberFault) => {
  lifts.get(member)?.()
  lifts.delete(member)
  down.delete(member)
  if (what === 'pause') lifts.set(member, server.faults.pause(member))
  if (what === 'kill') {
    down.add(member)
    lifts.set(member, server.faults.dropRequests({ member, then: 'disconnect' }))
    server.faults.disconnect(member)
  }
  // Those left of a cluster without a majority have no leader.
  liftLeaderless?.()
  liftLeaderless = down.size * 2 > members ? server.faults.loseLeader() : undefined
  process.send?.('done')
})
process.channel?.unref()
process.stdout.write(`${JSON.stringify(server.endpoints)}\n`)
await once(process, 'SIGTERM')
await server.close()

async function read(files: HostOptions['tls']): Promise<EmbeddedOptions['tls']> {
  if (files === undefined) return undefined
  const [cert, key, ca] = await Promise.all(
    [files.cert, files.key, files.ca].map(file => (file === undefined ? undefined : readFile(file))),
  )
  return { cert: cert!, key: key!, ca }
}
