import { parseArgs } from 'node:util'
import { type EmbeddedOptions, MOST_REQUEST_BYTES } from '../embedded/options.ts'

/** What the arguments of `quorate-etcd` ask for. */
export type Command =
  | { readonly kind: 'help' }
  | {
      readonly kind: 'serve'
      readonly options: EmbeddedOptions
      /** A file with the snapshot to start with. */
      readonly snapshot: string | undefined
      readonly tls: TlsFiles | undefined
    }

/** Where key and certificates are. */
export interface TlsFiles {
  readonly cert: string
  readonly key: string
  /** Whoever signs the certificates of clients, which must then show one. */
  readonly ca: string | undefined
}

export const usage = `Usage: quorate-etcd [options]

An etcd v3 server for development and tests. It keeps its keys in memory: when it ends they are
gone. Production runs on an etcd cluster.

  --listen HOST:PORT         where to listen; port 0 takes a free one (127.0.0.1:2379)
  --cert-file FILE           serve TLS, with this certificate, in PEM
  --key-file FILE            the key of that certificate
  --trusted-ca-file FILE     let in only clients with a certificate this authority has signed
  --client-cert-auth         the same said aloud, as etcd is told it; needs --trusted-ca-file
  --snapshot FILE            start with what 'etcdctl snapshot save' took from this server before
  --quota-bytes N            as etcd's --quota-backend-bytes; 0 for none (2147483648)
  --max-txn-ops N            operations in one transaction (128)
  --max-request-bytes N      size of one request (1572864)
  --auth-token-ttl SECONDS   how long a token lives without use (300)
  --watch-tick-ms N          how long a watch from the past waits, 100 on a real server (0)
  --help                     this text
`

const WHERE = '127.0.0.1:2379'

/** Throws an Error for people when the arguments make no sense. */
export function parseCommand(args: readonly string[]): Command {
  const { values } = parseArgs({
    args: [...args],
    options: {
      listen: { type: 'string', default: WHERE },
      'cert-file': { type: 'string' },
      'key-file': { type: 'string' },
      'trusted-ca-file': { type: 'string' },
      'client-cert-auth': { type: 'boolean', default: false },
      snapshot: { type: 'string' },
      'quota-bytes': { type: 'string' },
      'max-txn-ops': { type: 'string' },
      'max-request-bytes': { type: 'string' },
      'auth-token-ttl': { type: 'string' },
      'watch-tick-ms': { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return { kind: 'help' }
  return {
    kind: 'serve',
    snapshot: values.snapshot,
    tls: tlsFiles(values),
    options: {
      ...address(values.listen),
      quotaBytes: number('quota-bytes', values['quota-bytes'], 0),
      maxTxnOps: number('max-txn-ops', values['max-txn-ops'], 1),
      maxRequestBytes: number('max-request-bytes', values['max-request-bytes'], 1, MOST_REQUEST_BYTES),
      authTokenTtl: number('auth-token-ttl', values['auth-token-ttl'], 1),
      watchTickMs: number('watch-tick-ms', values['watch-tick-ms'], 0),
    },
  }
}

function address(listen: string): { readonly host: string; readonly port: number } {
  const parts = /^(?:\[(.+)\]|([^:[\]]+)):(\d{1,5})$/.exec(listen)
  const port = Number(parts?.[3])
  if (parts === null || port > 65535) throw new Error(`--listen is HOST:PORT, as ${WHERE}, not '${listen}'`)
  return { host: (parts[1] ?? parts[2])!, port }
}

function tlsFiles(values: {
  readonly 'cert-file'?: string
  readonly 'key-file'?: string
  readonly 'trusted-ca-file'?: string
  readonly 'client-cert-auth': boolean
}): TlsFiles | undefined {
  const { 'cert-file': cert, 'key-file': key, 'trusted-ca-file': ca } = values
  if ((cert === undefined) !== (key === undefined)) throw new Error('--cert-file and --key-file go together')
  if (values['client-cert-auth'] && ca === undefined) {
    throw new Error('--client-cert-auth needs --trusted-ca-file: who signs the certificates of clients?')
  }
  if (cert !== undefined && key !== undefined) return { cert, key, ca }
  if (ca !== undefined) throw new Error('--trusted-ca-file needs --cert-file and --key-file')
  return undefined
}

function number(
  option: string,
  value: string | undefined,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): number | undefined {
  if (value === undefined) return undefined
  if (!/^\d+$/.test(value) || Number(value) < least || Number(value) > most) {
    const bounds =
      most < Number.MAX_SAFE_INTEGER ? `of at least ${least} and at most ${most}` : `of at least ${least}`
    throw new Error(`--${option} is a whole number ${bounds}, not '${value}'`)
  }
  return Number(value)
}
