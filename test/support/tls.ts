/**
 * Certificates for tests, made anew: an authority, a server certificate for the loopback addresses, a client
 * certificate, and one of a stranger whom the authority does not know.
 */
// What the certificate library is built on wants it first.
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'

export interface Certificate {
  /** PEM. */
  readonly cert: string
  readonly key: string
  readonly certFile: string
  readonly keyFile: string
}

export interface TestCertificates {
  /** PEM of the authority. */
  readonly ca: string
  readonly caFile: string
  readonly server: Certificate
  readonly client: Certificate
  /** Signed by an authority of its own. */
  readonly stranger: Certificate
  /** Removes the files. */
  close(): Promise<void>
}

export interface CertificateOptions {
  /** What the server certificate is valid for. Default 127.0.0.1 and localhost. */
  readonly serverNames?: readonly string[]
  /** The common name of the client certificate: the user, where etcd takes users from certificates. Default `root`. */
  readonly clientName?: string
}

export async function createCertificates(options: CertificateOptions = {}): Promise<TestCertificates> {
  cryptoProvider.set(webcrypto)
  const folder = await mkdtemp(path.join(tmpdir(), 'quorate-tls-'))
  const names = options.serverNames ?? ['127.0.0.1', 'localhost']
  const { serverAuth, clientAuth } = ExtendedKeyUsage
  const [authority, otherAuthority] = await Promise.all([selfSigned('authority'), selfSigned('other')])
  const [server, client, stranger] = await Promise.all([
    // etcd also dials itself with this certificate (its JSON gateway does), hence both usages.
    signed(authority, 'server', [serverAuth, clientAuth], names),
    signed(authority, options.clientName ?? 'root', [clientAuth], []),
    signed(otherAuthority, 'stranger', [clientAuth], []),
  ])
  const written = await Promise.all([
    write(folder, 'authority', authority),
    write(folder, 'server', server),
    write(folder, 'client', client),
    write(folder, 'stranger', stranger),
  ])
  return {
    ca: written[0].cert,
    caFile: written[0].certFile,
    server: written[1],
    client: written[2],
    stranger: written[3],
    close: () => rm(folder, { recursive: true, force: true }),
  }
}

interface Signed {
  readonly name: string
  readonly keys: webcrypto.CryptoKeyPair
  readonly certificate: Awaited<ReturnType<typeof X509CertificateGenerator.create>>
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY_MS = 24 * 60 * 60 * 1000

async function selfSigned(name: string): Promise<Signed> {
  const keys = await newKeys()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=test ${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    ...validity(),
    extensions: [new BasicConstraintsExtension(true)],
  })
  return { name: `test ${name}`, keys, certificate }
}

async function signed(
  authority: Signed,
  commonName: string,
  usages: readonly ExtendedKeyUsage[],
  validFor: readonly string[],
): Promise<Signed> {
  const keys = await newKeys()
  const extensions: Extension[] = [new ExtendedKeyUsageExtension([...usages])]
  if (validFor.length > 0) {
    const names = validFor.map(value => ({ type: /^[\d.]+$|:/.test(value) ? 'ip' : 'dns', value }) as const)
    extensions.push(new SubjectAlternativeNameExtension(names))
  }
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${commonName}`,
    issuer: authority.certificate.subject,
    publicKey: keys.publicKey,
    signingKey: authority.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    ...validity(),
    extensions,
  })
  return { name: commonName, keys, certificate }
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>
}

/** From a little ago, for clocks that differ. */
function validity(): { readonly notBefore: Date; readonly notAfter: Date } {
  const nowMs = Date.now()
  return { notBefore: new Date(nowMs - DAY_MS), notAfter: new Date(nowMs + DAY_MS) }
}

async function write(folder: string, name: string, { keys, certificate }: Signed): Promise<Certificate> {
  const cert = certificate.toString('pem')
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  const key = PemConverter.encode(pkcs8, 'PRIVATE KEY')
  const certFile = path.join(folder, `${name}.pem`)
  const keyFile = path.join(folder, `${name}.key`)
  await Promise.all([writeFile(certFile, cert), writeFile(keyFile, key)])
  return { cert, key, certFile, keyFile }
}
