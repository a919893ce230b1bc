import type { Runtime } from '../support/runtime.ts'

interface Token {
  readonly username: string
  expiresAtMs: number
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const PREFIX_LENGTH = 16

/** Who signed in, by what they were given for it. A token that is used lives on; an unused one expires. */
export class AuthTokens {
  readonly #runtime: Runtime
  readonly #ttlMs: number
  /** In no order, and expired ones are thrown out when the next is issued: no timer is needed. */
  readonly #tokens = new Map<string, Token>()
  #issued = 0

  constructor(runtime: Runtime, ttlMs: number) {
    this.#runtime = runtime
    this.#ttlMs = ttlMs
  }

  issue(username: string): string {
    this.#dropExpired()
    const letters = Array.from(
      this.#runtime.randomBytes(PREFIX_LENGTH),
      byte => LETTERS[byte % LETTERS.length],
    )
    const token = `${letters.join('')}.${++this.#issued}`
    this.#tokens.set(token, { username, expiresAtMs: this.#runtime.now() + this.#ttlMs })
    return token
  }

  /** Whose token it is, and puts its expiry off; undefined for one that is unknown or has expired. */
  use(token: string): string | undefined {
    const found = this.#tokens.get(token)
    const nowMs = this.#runtime.now()
    if (found === undefined || nowMs > found.expiresAtMs) return undefined
    found.expiresAtMs = nowMs + this.#ttlMs
    return found.username
  }

  forgetUser(username: string): void {
    for (const [token, owner] of this.#tokens) if (owner.username === username) this.#tokens.delete(token)
  }

  forgetAll(): void {
    this.#tokens.clear()
  }

  #dropExpired(): void {
    const nowMs = this.#runtime.now()
    for (const [token, { expiresAtMs }] of this.#tokens) if (nowMs > expiresAtMs) this.#tokens.delete(token)
  }
}
