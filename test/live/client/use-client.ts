/** What the live tests of the client begin with: a cluster, and one client of it. */
import type { TestFn } from 'ava'
import { connect } from '../../../src/facade/connect.ts'
import type { Etcd } from '../../../src/facade/etcd.ts'
import { type EtcdServers, type StartEtcdOptions, startEtcd } from '../../support/etcd-server.ts'
import { series } from '../../support/live.ts'

export interface Live {
  readonly servers: EtcdServers
  readonly etcd: Etcd
}

/** One cluster and one client for all tests of a file. Returns how to get at them from within a test. */
export function useClient(test: TestFn<unknown>, options: Partial<StartEtcdOptions> = {}): () => Live {
  let live: Live | undefined
  test.before('etcd and a client are up', async () => {
    const servers = await startEtcd({ series: series(), ...options })
    const { auth } = options
    live = {
      servers,
      etcd: await connect(servers.endpoints, auth === undefined ? {} : { credentials: auth }),
    }
  })
  test.after.always('client and etcd are closed', async () => {
    await live?.etcd.close()
    await live?.servers.close()
  })
  return () => {
    if (live === undefined) throw new Error('there is a client within tests only')
    return live
  }
}
