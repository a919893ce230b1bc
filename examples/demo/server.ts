import { startEtcd } from '../../src/embedded/index.ts'
import { startEtcd as startReal } from '../../test/support/etcd-server.ts'
import { series } from '../../test/support/live.ts'

/** The cluster the demo runs on. */
export interface DemoServer {
  /** For people. */
  readonly what: string
  readonly endpoint: string
  close(): Promise<void>
}

/** The embedded etcd, for which nothing has to be installed; a real one where `QUORATE_ETCD_SERIES` names it. */
export async function startServer(): Promise<DemoServer> {
  if (process.env.QUORATE_ETCD_SERIES === undefined) {
    const embedded = await startEtcd()
    return { what: 'the embedded etcd', endpoint: embedded.endpoints[0]!, close: () => embedded.close() }
  }
  const real = await startReal({ series: series() })
  return { what: `etcd ${real.binary.version}`, endpoint: real.endpoint, close: () => real.close() }
}
