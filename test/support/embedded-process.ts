/** An embedded etcd in a process of its own: options as JSON in, endpoints as JSON out, until SIGTERM. */
import { once } from 'node:events'
import { type EmbeddedOptions, startEtcd } from '../../src/embedded/index.ts'

const server = await startEtcd(JSON.parse(process.argv[2] ?? '{}') as EmbeddedOptions)
process.stdout.write(`${JSON.stringify(server.endpoints)}\n`)
await once(process, 'SIGTERM')
await server.close()
