import type { Transport } from '../../src/support/transport.ts'

/** What a test needs of the server it runs against: real etcd, or one in this process. */
export interface TestServer {
  /** `host:port`, one per member. */
  readonly endpoints: readonly string[]
  /** Set when the server is not reached through a socket. */
  readonly transport?: Transport
  /** Idempotent. Nothing of the server is left when it resolves. */
  close(): Promise<void>
}
