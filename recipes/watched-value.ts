import type { Engine } from '../src/client/engine.ts'
import { rangeOf } from '../src/client/key-range.ts'
import type { KeySpace } from '../src/client/key-space.ts'
import type { KeyValue } from '../src/client/key-value.ts'
import { KV } from '../src/client/kv.ts'
import { Watch } from '../src/client/watch.ts'
import { checkOptions, checkSignal } from '../src/support/options.ts'
import { EtcdError } from '../src/wire/errors.ts'

export interface WatchValueOptions {
  /** Aborting ends the loop with its reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * What a key holds, then every value it takes, oldest first; undefined while it does not exist. Nothing is left
 * out, unless history is compacted before it was delivered: then it goes on with what is there. One round trip and
 * a watch for as long as the loop runs.
 */
export async function* valuesOf<Value>(
  engine: Engine,
  space: KeySpace,
  key: Uint8Array,
  read: (kv: KeyValue | undefined) => Value,
  given: WatchValueOptions,
): AsyncGenerator<Value> {
  const { signal } = checkOptions(given, ['signal'], 'watch')
  checkSignal(signal, 'watch')
  const kv = new KV(engine.submitter, space)
  for (;;) {
    const { kvs, revision } = await kv.range(key, { signal })
    yield read(kvs[0])
    const watch = new Watch(
      engine.userWatches,
      rangeOf(key),
      { from: revision + 1n, signal },
      { toServer: range => space.range(range), fromServer: name => space.local(name) },
    )
    try {
      for await (const event of watch) yield read(event.type === 'put' ? event.kv : undefined)
      return
    } catch (error) {
      if (!EtcdError.is(error, 'COMPACTED')) throw error
    } finally {
      await watch.close()
    }
  }
}
