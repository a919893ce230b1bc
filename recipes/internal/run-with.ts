import type { SessionContext } from '../../src/session/session-context.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import type { Handle } from '../handle.ts'

/**
 * Runs `body` with what is held and gives that up whatever comes of it. The error of the body comes first; if it
 * returned although what it worked under had been lost before, rejects with LOCK_LOST. Trouble with giving up after
 * a success is nobody's error: the keys go in the background.
 */
export async function runWith<Held extends Handle, Result>(
  session: SessionContext,
  held: Held,
  body: (held: Held) => Result | Promise<Result>,
): Promise<Result> {
  try {
    const result = await body(held)
    // After the machine slept it is being asked whether the session still exists.
    await session.reliable().catch(() => {})
    if (!held.held && !EtcdError.is(held.signal.reason, 'LOCK_RELEASED')) throw lostDuringRun(held)
    return result
  } finally {
    await held[Symbol.asyncDispose]()
  }
}

export function checkBody(body: unknown): void {
  if (typeof body !== 'function') throw new TypeError('run takes a function')
}

function lostDuringRun({ name, signal }: Handle): EtcdError {
  const { reason } = signal
  const why = EtcdError.is(reason) ? `: ${reason.message.replace(/^\[\w+\] /, '')}` : ''
  return new EtcdError('LOCK_LOST', `[LOCK_LOST] ${name} was lost before the work under it was done${why}`, {
    outcome: 'unknown',
    cause: reason,
  })
}
