import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { checkOptions } from '../support/options.ts'

/** Key and certificates a server proves itself with, in PEM. */
export interface ServerTls {
  /** The server's certificate, followed by those between it and its authority, if any. */
  readonly cert: string | Uint8Array
  readonly key: string | Uint8Array
  /** Clients must then show a certificate this authority has signed. Left out: they are asked for none. */
  readonly ca?: string | Uint8Array | undefined
}

/** The same, as Node takes it, and known to fit together. */
export interface CheckedTls {
  readonly cert: Buffer
  readonly key: Buffer
  readonly ca: Buffer | undefined
}

/** Throws a TypeError that names what is wrong, never what is in the key. */
export function checkServerTls(tls: ServerTls): CheckedTls {
  const { cert, key, ca } = checkOptions(tls, ['cert', 'key', 'ca'], 'startEtcd: tls')
  if (cert === undefined || key === undefined) {
    throw new TypeError('startEtcd: tls.cert and tls.key go together, and TLS needs both')
  }
  const checked = {
    cert: pem('cert', cert, CERTIFICATE),
    key: pem('key', key, PRIVATE_KEY),
    ca: ca === undefined ? undefined : pem('ca', ca, CERTIFICATE),
  }
  const certificate = readable('cert', () => new X509Certificate(checked.cert))
  const privateKey = readable('key', () => createPrivateKey(checked.key))
  readable('ca', () => checked.ca && new X509Certificate(checked.ca))
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new TypeError('startEtcd: tls.key is not the key of tls.cert')
  }
  // OpenSSL is stricter: it reads every certificate of a chain, and takes no key that is too short. It would say
  // so at the first connection, where nobody could catch it.
  readable('cert', () => createSecureContext({ cert: checked.cert }))
  readable('key', () => createSecureContext({ cert: checked.cert, key: checked.key }))
  readable('ca', () => createSecureContext({ ca: checked.ca }))
  return checked
}

const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/

function pem(name: keyof ServerTls, material: unknown, expected: RegExp): Buffer {
  if (typeof material !== 'string' && !(material instanceof Uint8Array)) {
    throw new TypeError(`startEtcd: tls.${name} is PEM, as a string or a Uint8Array`)
  }
  const bytes = Buffer.from(material as Uint8Array)
  if (!expected.test(bytes.toString('latin1'))) {
    const what = expected === PRIVATE_KEY ? 'private key' : 'certificate'
    throw new TypeError(`startEtcd: tls.${name} is not PEM: there is no ${what} in it`)
  }
  return bytes
}

function readable<Result>(name: keyof ServerTls, read: () => Result): Result {
  try {
    return read()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TypeError(`startEtcd: tls.${name} cannot be read: ${why}`, { cause })
  }
}
