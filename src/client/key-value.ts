import { showAs } from '../support/shown.ts'
import { text } from '../wire/bytes.ts'
import type { KeyValue as WireKeyValue } from '../wire/gen/kv.g.ts'

/** A key, its value and what etcd knows about them, at one revision. */
export class KeyValue {
  /** As bytes; `name()` is its text. */
  readonly key: Uint8Array
  /** As bytes; `text()` and `json()` read it. */
  readonly value: Uint8Array
  /** When the key came to be. */
  readonly createRevision: bigint
  /** When it was last written. */
  readonly modRevision: bigint
  /** How often it was written since it came to be. */
  readonly version: bigint
  /** The lease it goes with; 0 for none. */
  readonly lease: bigint

  static {
    showAs(KeyValue, kv => ({ ...kv, key: kv.name(), value: kv.text() }))
  }

  /** `key` is the key as the user knows it, where that is not what the server calls it. */
  constructor(wire: WireKeyValue, key: Uint8Array = wire.key) {
    this.key = ownBytes(key)
    this.value = ownBytes(wire.value)
    this.createRevision = wire.createRevision
    this.modRevision = wire.modRevision
    this.version = wire.version
    this.lease = wire.lease
  }

  /** The key as UTF-8. */
  name(): string {
    return text(this.key)
  }

  /** The value as UTF-8. */
  text(): string {
    return text(this.value)
  }

  /** The value parsed as JSON. Throws SyntaxError when it is none; whether it is a `T` is for the caller to know. */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T
  }

  /** For logs and `JSON.stringify`, which knows no bigint: key and value as text, numbers as decimal strings. */
  toJSON(): KeyValueJson {
    return {
      key: this.name(),
      value: this.text(),
      createRevision: String(this.createRevision),
      modRevision: String(this.modRevision),
      version: String(this.version),
      lease: String(this.lease),
    }
  }
}

export interface KeyValueJson {
  readonly key: string
  readonly value: string
  readonly createRevision: string
  readonly modRevision: string
  readonly version: string
  readonly lease: string
}

/**
 * Decoded bytes are views of the message they came in: one short key kept would keep all of a large answer.
 * Bytes that make up most of their message are not worth the copy.
 */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.length * 2 >= bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}
