import type { SessionContext } from '../../../src/session/session-context.ts'
import { quietController } from '../../../src/support/abort.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { orAborted } from '../signals.ts'
import type { Gathering, Passage } from './gathering.ts'
import { Visit } from './visit.ts'

/**
 * Comes to the barrier and resolves when all have come.
 *
 * Whoever is last changes the round; the others watch the one key that tells, and for keys that go among those
 * who have come. Each change compares the revision of the one before, so whatever several of them believe at the
 * same time, one thing becomes of a round. Whatever ends the wait before that is told at once, and that we came is
 * then undone in the background.
 */
export async function gather(
  session: SessionContext,
  gathering: Gathering,
  signal: AbortSignal | undefined,
): Promise<Passage> {
  signal?.throwIfAborted()
  session.assertOpen()
  const { aborts } = session.engine
  const leaving = quietController()
  const leave = (reason: unknown) => leaving.abort(reason)
  const stopCaller = aborts.on(signal, leave)
  const stopSession = aborts.on(session.closing, leave)
  const visit = new Visit(session, gathering, leaving.signal)
  const running = visit.run()
  try {
    const passage = await orAborted(session.engine, [leaving.signal], running)
    await orAborted(session.engine, [leaving.signal], session.reliable())
    leaving.signal.throwIfAborted()
    return passage
  } catch (error) {
    // A request that is on its way decides what there is to undo.
    session.background(
      running.then(
        () => visit.undo(),
        () => visit.undo(),
      ),
    )
    if (!EtcdError.is(error, 'LEASE_NOT_FOUND')) throw error
    session.leaseGone(error)
    throw session.signal.aborted ? session.signal.reason : error
  } finally {
    stopCaller()
    stopSession()
  }
}
