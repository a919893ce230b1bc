/**
 * Certificates for tests, made anew by the openssl program: an authority, a server certificate for the
 * loopback addresses, a client certificate, and one of a stranger whom the authority does not know.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { run } from './executable.ts'

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
  const folder = await mkdtemp(path.join(tmpdir(), 'quorate-tls-'))
  const names = options.serverNames ?? ['127.0.0.1', 'localhost']
  const [authority, otherAuthority] = await Promise.all([
    selfSigned(folder, 'authority'),
    selfSigned(folder, 'other'),
  ])
  const [server, client, stranger] = await Promise.all([
    // etcd also dials itself with this certificate (its JSON gateway does), hence both usages.
    signed(folder, authority, 'server', 'server', ['serverAuth', 'clientAuth'], names),
    signed(folder, authority, 'client', options.clientName ?? 'root', ['clientAuth'], []),
    signed(folder, otherAuthority, 'stranger', 'stranger', ['clientAuth'], []),
  ])
  return {
    ca: authority.cert,
    caFile: authority.certFile,
    server,
    client,
    stranger,
    close: () => rm(folder, { recursive: true, force: true }),
  }
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

async function selfSigned(folder: string, name: string): Promise<Certificate> {
  const { certFile, keyFile } = filesOf(folder, name)
  const output = ['-keyout', keyFile, '-out', certFile]
  await run('openssl', ['req', '-x509', ...newKey, ...output, '-subj', `/CN=test ${name}`, '-days', '2'])
  return read(certFile, keyFile)
}

async function signed(
  folder: string,
  authority: Certificate,
  name: string,
  commonName: string,
  usages: readonly string[],
  validFor: readonly string[],
): Promise<Certificate> {
  const { certFile, keyFile } = filesOf(folder, name)
  const request = path.join(folder, `${name}.csr`)
  const extensions = path.join(folder, `${name}.ext`)
  const alternatives = validFor.map(entry => (/^[\d.]+$|:/.test(entry) ? `IP:${entry}` : `DNS:${entry}`))
  const lines = [`extendedKeyUsage=${usages.join(',')}`]
  if (alternatives.length > 0) lines.push(`subjectAltName=${alternatives.join(',')}`)
  await writeFile(extensions, `${lines.join('\n')}\n`)
  await run('openssl', ['req', ...newKey, '-keyout', keyFile, '-out', request, '-subj', `/CN=${commonName}`])
  await run('openssl', [
    ...['x509', '-req', '-in', request, '-out', certFile, '-days', '2', '-extfile', extensions],
    ...['-CA', authority.certFile, '-CAkey', authority.keyFile, '-set_serial', `0x${serialOf(name)}`],
  ])
  return read(certFile, keyFile)
}

/** Two certificates of one authority must differ in it. */
function serialOf(name: string): string {
  return Buffer.from(name).toString('hex')
}

function filesOf(folder: string, name: string): { certFile: string; keyFile: string } {
  return { certFile: path.join(folder, `${name}.pem`), keyFile: path.join(folder, `${name}.key`) }
}

async function read(certFile: string, keyFile: string): Promise<Certificate> {
  const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')])
  return { cert, key, certFile, keyFile }
}
