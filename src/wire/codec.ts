import { Reader, Writer } from 'protobufjs/minimal.js'
import { ownThroughout } from '../support/own.ts'
import { EtcdError } from './errors.ts'

/** Encodes and decodes one protobuf message. Generated for every message of `proto/` into `gen/`. */
export interface MessageCodec<Message> {
  /** Fully qualified name, `etcdserverpb.RangeRequest`. */
  readonly name: string
  /** Throws TypeError or RangeError, naming the field, when a value does not fit its type. */
  encode(message: Init<Message>): Uint8Array
  /**
   * Unknown fields are skipped. Throws EtcdError PROTOCOL when the bytes are no such message. `bytes` fields
   * of the result are views of the given bytes: a short key kept for long keeps all of them alive.
   */
  decode(bytes: Uint8Array): Message
}

/** A message to send: whatever is left out has its protobuf default. */
export type Init<Message> = {
  readonly [Field in keyof Message]?: InitField<Message[Field]> | undefined
}

type InitField<Value> = Value extends Uint8Array | bigint | number | string | boolean | undefined
  ? Value
  : Value extends readonly (infer Item)[]
    ? readonly InitField<Item>[]
    : Value extends { readonly kind: string; readonly value: unknown }
      ? { readonly [K in keyof Value]: K extends 'kind' ? Value[K] : InitField<Value[K]> }
      : Init<Value>

/** Joins the two generated halves of a message into its codec. */
export function messageCodec<Message>(
  name: string,
  write: (writer: Writer, message: Init<Message>) => void,
  read: (reader: Reader, end: number, depth: number) => Message,
): MessageCodec<Message> {
  return {
    name,
    encode(message) {
      const writer = Writer.create()
      write(writer, ownThroughout(message))
      return writer.finish(true)
    },
    decode(bytes) {
      const reader = new Reader(plainView(bytes))
      try {
        return read(reader, reader.len, 0)
      } catch (cause) {
        const what = cause instanceof Error ? cause.message : String(cause)
        const message = `[PROTOCOL] ${bytes.length} bytes are no ${name} (${what}); the peer does not speak etcd's protocol`
        throw new EtcdError('PROTOCOL', message, { outcome: 'unknown', cause })
      }
    },
  }
}

/**
 * Received bytes are often a Buffer, whose views are Buffers with another `slice` and `toString`. What users
 * get must not depend on the transport.
 */
function plainView(bytes: Uint8Array): Uint8Array {
  if (!Buffer.isBuffer(bytes)) return bytes
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
