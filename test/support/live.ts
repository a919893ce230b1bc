/** What tests against a real server begin with. */
import { randomBytes } from 'node:crypto'
import type { ExecutionContext, TestFn } from 'ava'
import { allSeries, type Series } from './etcd-binaries.ts'
import { type EtcdServers, type StartEtcdOptions, startEtcd } from './etcd-server.ts'

const servers = [...allSeries, 'embedded'] as const

/** The server this run is about: `QUORATE_ETCD_SERIES`, or 3.5. */
export function series(): Series | 'embedded' {
  const wanted = process.env.QUORATE_ETCD_SERIES ?? '3.5'
  const found = servers.find(known => known === wanted)
  if (found === undefined)
    throw new Error(`QUORATE_ETCD_SERIES is ${wanted}, not one of ${servers.join(', ')}`)
  return found
}

/**
 * One cluster for all tests of a file, started before the first and closed after the last. Returns how to get
 * at it from within a test. Hooks registered after this call find it running.
 */
export function useEtcd<Context>(
  test: TestFn<Context>,
  options: Partial<StartEtcdOptions> = {},
): () => EtcdServers {
  let running: EtcdServers | undefined
  test.before('etcd is running', async () => {
    running = await startEtcd({ series: series(), ...options })
  })
  test.after.always('etcd is closed', () => running?.close())
  return () => {
    if (running === undefined) throw new Error('etcd runs within tests and hooks only')
    return running
  }
}

/** A key prefix no other test uses, ending in a slash: `/a-lock-excludes/9f86d081/`. */
export function uniquePrefix(t: ExecutionContext<unknown>): string {
  const words = t.title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  return `/${words.slice(0, 40)}/${randomBytes(4).toString('hex')}/`
}
