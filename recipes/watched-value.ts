import type { Client } from '../src/client/client.ts'
import type { KeyValue } from '../src/client/key-value.ts'
import { checkOptions, checkSignal } from '../src/support/options.ts'
import { EtcdError } from '../src/wire/errors.ts'

export interface WatchValueOptions {
  /** Aborting ends the loop with its reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * What a key holds, then every value it takes, oldest first; undefined while it does not exist. Nothing is left
 * out, unless history is compacted before it was delivered: then it goes on with what is there. One round trip and
 * a watch for as long as the loop runs, which ends quietly when the client it came from is closed.
 */
export function valuesOf<Value>(
  client: Client,
  key: Uint8Array,
  read: (kv: KeyValue | undefined) => Value,
  options: WatchValueOptions,
): AsyncGenerator<Value> {
  client.assertOpen()
  const { signal } = checkOptions(options, ['signal'], 'watch')
  checkSignal(signal, 'watch')
  return values(client, key, read, signal)
}

async function* values<Value>(
  client: Client,
  key: Uint8Array,
  read: (kv: KeyValue | undefined) => Value,
  signal: AbortSignal | undefined,
): AsyncGenerator<Value> {
  for (;;) {
    const first = await client.range(key, { signal }).catch(error => {
      if (!EtcdError.is(error, 'CLIENT_CLOSED')) throw error
    })
    if (first === undefined) return
    const { kvs, revision } = first
    yield read(kvs[0])
    // Whoever takes it may close the client.
    if (!client.isOpen) return
    const watch = client.watch(key, { from: revision + 1n, signal })
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
