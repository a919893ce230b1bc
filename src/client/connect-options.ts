import { createSecureContext } from 'node:tls'
import { checkInteger, checkOptions, checkSignal } from '../support/options.ts'
import { ownOnly } from '../support/own.ts'
import type { Runtime } from '../support/runtime.ts'
import type { Endpoint, TlsOptions, Transport } from '../support/transport.ts'
import { hasUtf8 } from '../wire/bytes.ts'
import { parseEndpoint } from './endpoint.ts'
import type { Credentials } from './tokens.ts'

export interface ConnectOptions {
  /** Gives up connecting. */
  readonly signal?: AbortSignal | undefined
  /** Kept in memory only; neither errors nor warnings name the password. */
  readonly credentials?: Credentials | undefined
  /** Speak TLS, with this material. `{}` trusts the certificates the system trusts. */
  readonly tls?: TlsOptions | undefined
  /** How long the first connection may take, in milliseconds. Default: 5000. */
  readonly connectTimeoutMs?: number | undefined
  /** How long a request may take in all, in milliseconds. Default: 10,000. */
  readonly requestTimeoutMs?: number | undefined
  /** What carries the requests. Default: gRPC over sockets. */
  readonly transport?: Transport | undefined
  /** Clocks, timers and chance. Default: Node's. */
  readonly runtime?: Runtime | undefined
}

const KNOWN = ['signal', 'credentials', 'tls', 'connectTimeoutMs', 'requestTimeoutMs', 'transport', 'runtime']

/** The options as they may be read, and those within them. */
export function ownConnect(options: ConnectOptions): ConnectOptions {
  const { credentials, tls, ...rest } = ownOnly(options)
  return ownOnly({
    ...rest,
    ...(isObject(credentials) ? { credentials: ownOnly(credentials) } : { credentials }),
    ...(isObject(tls) ? { tls: ownOnly(tls) } : { tls }),
  })
}

/** Checks everything `connect` takes, before anything is sent anywhere. */
export function checkConnect(
  endpoints: string | readonly string[],
  options: ConnectOptions,
): readonly Endpoint[] {
  options = ownConnect(checkOptions(options, KNOWN, 'connect'))
  checkSignal(options.signal, 'connect')
  const { credentials, tls, connectTimeoutMs, requestTimeoutMs } = options
  if (connectTimeoutMs !== undefined) checkInteger(connectTimeoutMs, 'connectTimeoutMs', { min: 1 })
  if (requestTimeoutMs !== undefined) checkInteger(requestTimeoutMs, 'requestTimeoutMs', { min: 1 })
  checkOptions(credentials, ['username', 'password'], 'connect: credentials')
  if (credentials !== undefined) {
    if (typeof credentials.username !== 'string' || credentials.username === '') {
      throw new TypeError('connect: credentials.username is a string that is not empty')
    }
    if (typeof credentials.password !== 'string')
      throw new TypeError('connect: credentials.password is a string')
    // Two passwords that differ there would be one.
    if (!hasUtf8(credentials.username) || !hasUtf8(credentials.password))
      throw new TypeError('connect: credentials with half a surrogate pair have no UTF-8 form')
  }
  if (typeof tls === 'boolean')
    throw new TypeError('connect: tls is an object; {} trusts the certificates the system trusts')
  checkOptions(tls, ['ca', 'cert', 'key', 'serverName'], 'connect: tls')
  for (const name of ['ca', 'cert', 'key'] as const) {
    const material: unknown = tls?.[name]
    if (material !== undefined && typeof material !== 'string' && !(material instanceof Uint8Array))
      throw new TypeError(`connect: tls.${name} is PEM, as a string or a Uint8Array`)
    // Node takes what holds no certificate for a list without any, and then trusts nobody.
    if (material !== undefined && !PEM[name].test(Buffer.from(material as Uint8Array).toString('latin1')))
      throw new TypeError(`connect: tls.${name} is not PEM: pass what is in the file, not its name`)
  }
  if (tls?.serverName !== undefined && (typeof tls.serverName !== 'string' || tls.serverName === ''))
    throw new TypeError('connect: tls.serverName is a string that is not empty')
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    throw new TypeError('connect: tls.cert and tls.key go together')
  }
  if (tls?.cert !== undefined && tls.key !== undefined) checkPair(tls.cert, tls.key)
  if (options.transport !== undefined && typeof options.transport?.connect !== 'function')
    throw new TypeError('connect: transport has a method connect')
  if (options.runtime !== undefined && typeof options.runtime?.setTimer !== 'function')
    throw new TypeError('connect: runtime is a Runtime')
  const list = typeof endpoints === 'string' ? [endpoints] : endpoints
  if (!Array.isArray(list)) throw new TypeError('connect takes an endpoint or a list of them, then options')
  if (list.length === 0) throw new TypeError('connect: at least one endpoint is needed')
  const parsed = list.map(text => parseEndpoint(text, tls !== undefined))
  const known = new Set<string>()
  for (const { url, tls } of parsed) {
    if (known.has(url)) throw new TypeError(`connect: endpoint ${url} is listed twice`)
    known.add(url)
    if (tls !== parsed[0]!.tls) throw new TypeError('connect: endpoints with and without TLS do not mix')
  }
  return parsed
}

const PEM = {
  ca: /-----BEGIN [\w ]*CERTIFICATE-----/,
  cert: /-----BEGIN [\w ]*CERTIFICATE-----/,
  key: /-----BEGIN [\w ]*PRIVATE KEY-----/,
} as const

/** As TLS will take them, later and in the words of OpenSSL. */
function checkPair(cert: string | Uint8Array, key: string | Uint8Array): void {
  try {
    createSecureContext({ cert: Buffer.from(cert as Uint8Array), key: Buffer.from(key as Uint8Array) })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TypeError(`connect: tls.cert and tls.key cannot be used: ${why}`, { cause })
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
