import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'

/**
 * Hears of deleted keys from one member over plain HTTP, through its JSON gateway: when the server ended something,
 * whatever a client makes of it.
 */
export class PlainWatch implements Disposable {
  readonly #over = new AbortController()
  readonly #deletedAtMs = new Map<string, number>()
  readonly #waiting = new Map<string, (atMs: number) => void>()

  private constructor() {}

  /** Resolves when the member watches all keys from `from` up to `to`. */
  static async open(endpoint: string, from: string, to: string): Promise<PlainWatch> {
    const watch = new PlainWatch()
    const { signal } = watch.#over
    const request = { create_request: { key: inBase64(from), range_end: inBase64(to) } }
    const answer = await fetch(`http://${endpoint}/v3/watch`, {
      method: 'POST',
      body: JSON.stringify(request),
      signal,
    })
    if (!answer.ok || answer.body === null)
      throw new Error(`no watch on ${endpoint}: status ${answer.status}`)
    const lines = createInterface({ input: Readable.fromWeb(answer.body) })
    const opened = new Promise<void>((resolve, reject) => {
      lines.on('line', line => {
        resolve()
        watch.#hear(line)
      })
      // Also how it ends when nobody needs it any more.
      lines.on('error', reject)
      lines.once('close', () => reject(new Error(`the watch on ${endpoint} ended`)))
    })
    await opened
    return watch
  }

  /** When this process was told that the key is gone. */
  deletedAtMs(key: Uint8Array): Promise<number> {
    const name = Buffer.from(key).toString('base64')
    const known = this.#deletedAtMs.get(name)
    return known === undefined
      ? new Promise(resolve => this.#waiting.set(name, resolve))
      : Promise.resolve(known)
  }

  [Symbol.dispose](): void {
    this.#over.abort()
  }

  #hear(line: string): void {
    const atMs = performance.now()
    const { result } = JSON.parse(line) as { result?: { events?: { type?: string; kv: { key: string } }[] } }
    for (const { type, kv } of result?.events ?? []) {
      if (type !== 'DELETE') continue
      this.#deletedAtMs.set(kv.key, atMs)
      this.#waiting.get(kv.key)?.(atMs)
    }
  }
}

function inBase64(text: string): string {
  return Buffer.from(text).toString('base64')
}
