import { isIP } from 'node:net'
import type { Endpoint } from '../support/transport.ts'

const DEFAULT_PORT = 2379
const CONTROL = /\p{Cc}/u

/**
 * Reads `host:port`, `http://host:port`, `https://host:port`, `unix:/path` and `unix:///path`. Without a scheme
 * an endpoint is TLS when the options ask for it.
 */
export function parseEndpoint(text: string, tlsWanted: boolean): Endpoint {
  if (typeof text !== 'string') throw new TypeError(`an endpoint is a string, got ${typeof text}`)
  // A URL drops most of them, and what was read would not be what was written.
  if (CONTROL.test(text)) throw new TypeError(`endpoint ${shown(text)}: there is a control character in it`)
  if (text.startsWith('unix:')) return unixEndpoint(text)
  if (/\s/u.test(text)) throw new TypeError(`endpoint ${shown(text)}: there is white space in it`)
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase()
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') {
    throw new TypeError(`endpoint ${shown(text)}: the scheme is http, https or unix, not ${scheme}`)
  }
  if (scheme === 'http' && tlsWanted) {
    throw new TypeError(`endpoint ${shown(text)}: http:// is without TLS, but the options ask for it`)
  }
  const tls = scheme === 'https' || tlsWanted
  const url = parseUrl(text, scheme === undefined ? `http://${text}` : text)
  if (url.username !== '' || url.password !== '') {
    throw new TypeError('an endpoint carries no user or password: use the option `credentials`')
  }
  if ((url.pathname !== '/' && url.pathname !== '') || url.search !== '' || url.hash !== '') {
    throw new TypeError(`endpoint ${shown(text)}: nothing may follow host and port`)
  }
  const address = `${url.hostname}:${portOf(text, url)}`
  return { url: `${tls ? 'https' : 'http'}://${address}`, address, scheme: 'tcp', tls }
}

function unixEndpoint(text: string): Endpoint {
  const path = text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '')
  if (path === '' || path === '/' || path.startsWith('//')) {
    throw new TypeError(`endpoint ${shown(text)}: unix: is followed by the path of a socket`)
  }
  return { url: `unix:${path}`, address: path, scheme: 'unix', tls: false }
}

function parseUrl(text: string, url: string): URL {
  let parsed: URL | undefined
  try {
    parsed = new URL(url)
  } catch {
    // Told below, with what was given.
  }
  if (parsed === undefined || parsed.hostname === '' || !hostLooksRight(parsed.hostname)) {
    throw new TypeError(
      `endpoint ${shown(text)} is no address: expected host:port, http(s)://host:port or unix:/path`,
    )
  }
  return parsed
}

function hostLooksRight(host: string): boolean {
  if (host.startsWith('[')) return isIP(host.slice(1, -1)) === 6
  return /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?$/i.test(host)
}

/** A URL hides the port that is its scheme's default. */
function portOf(text: string, url: URL): number {
  if (url.port !== '') {
    if (url.port === '0') throw new TypeError(`endpoint ${shown(text)}: there is no port 0`)
    return Number(url.port)
  }
  const written = /:(\d+)\/?$/.exec(text)?.[1]
  return written === undefined ? DEFAULT_PORT : Number(written)
}

/** What was given, without what may be a password in it. */
function shown(text: string): string {
  return JSON.stringify(text.replace(/\/\/[^@/]*@/, '//***@'))
}
