import type { Engine } from '../../src/client/engine.ts'
import type { CallOptions } from '../../src/client/submitter.ts'

/** For a call that makes several requests, one after another: each may take what is left of the time of all, in whole milliseconds. */
export function timeOf(engine: Engine, { signal, timeoutMs }: CallOptions): () => CallOptions {
  const { runtime, requestTimeoutMs } = engine
  const untilMs = runtime.now() + (timeoutMs ?? requestTimeoutMs)
  return () => ({ signal, timeoutMs: Math.max(1, Math.ceil(untilMs - runtime.now())) })
}
