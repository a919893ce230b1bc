import type { Client } from '../client/client.ts'
import type { OpeningOptions } from '../client/lease.ts'
import type { KeptLease, LeaseListener } from '../client/lease-keeper.ts'
import { EtcdError } from '../wire/errors.ts'

export interface WantedLease extends OpeningOptions {
  readonly ttl: number
  /** Of a lease that is to be gone on with; without one a new one is granted. */
  readonly resume: bigint | undefined
}

/**
 * A lease that is kept and may be believed in; none is left behind when it rejects.
 *
 * One that was granted may be too old by the time we hear of it: a busy cluster took longer than its TTL, or the
 * answer is that an earlier attempt did it. To begin with it would be to be lost at once, so it is revoked and
 * another one is granted, as long as there is time.
 */
export async function openLease(
  client: Client,
  { ttl, resume, signal, timeoutMs, noMoreAttempts }: WantedLease,
  listener: LeaseListener,
): Promise<KeptLease> {
  const { runtime, requestTimeoutMs } = client.engine
  const untilMs = runtime.now() + (timeoutMs ?? requestTimeoutMs)
  for (;;) {
    const call = { signal, timeoutMs: untilMs - runtime.now(), noMoreAttempts }
    const kept =
      resume === undefined
        ? await client.lease.grantAndKeep(ttl, call, listener)
        : await client.lease.adopt(resume, call, listener)
    const isWanted = client.isOpen && signal?.aborted !== true
    const { state } = kept
    if (isWanted && state.kind !== 'lost') return kept
    kept.stop()
    const revoked = resume === undefined ? client.lease.revoke(kept.id).catch(() => {}) : undefined
    if (!isWanted) await revoked
    signal?.throwIfAborted()
    client.assertOpen()
    if (state.kind === 'lost' && runtime.now() >= untilMs) throw tooLate(kept, state.error)
  }
}

function tooLate({ id, ttlMs }: KeptLease, cause: EtcdError): EtcdError {
  const lease = `lease ${id.toString(16)}`
  return new EtcdError(
    'TIMEOUT',
    `[TIMEOUT] session: ${lease} was had only when the ${ttlMs / 1000} s of its TTL had passed since it was asked for`,
    { outcome: 'unknown', cause },
  )
}
