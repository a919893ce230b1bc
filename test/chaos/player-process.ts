import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** A script of this folder in a process of its own, and what it says. */
export class PlayerProcess<Said extends { readonly kind: string }, Told extends { readonly kind: string }> {
  readonly name: string
  readonly #child: ChildProcess
  readonly #said: Said[] = []
  readonly #waiting = new Set<() => void>()
  readonly #ended: Promise<void>
  #output = ''
  #isOver = false

  constructor(
    name: string,
    script: 'worker' | 'recorder' | 'holder',
    config: object,
    onSaid: (said: Said) => void,
  ) {
    this.name = name
    const hook = new URL('../support/fatal-warnings.js', import.meta.url).href
    this.#child = fork(fileURLToPath(new URL(`${script}.js`, import.meta.url)), [JSON.stringify(config)], {
      execArgv: ['--expose-gc', '--unhandled-rejections=strict', `--import=${hook}`],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', text => {
        this.#output = (this.#output + text).slice(-4000)
      })
    }
    this.#child.on('message', message => {
      const said = message as Said
      onSaid(said)
      this.#said.push(said)
      this.#wake()
    })
    this.#ended = new Promise(resolve => {
      this.#child.once('close', () => {
        this.#isOver = true
        resolve()
        this.#wake()
      })
    })
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** The last it printed. */
  get output(): string {
    return this.#output
  }

  /** By what it ended, if not by itself. */
  get failure(): string | undefined {
    const { exitCode, signalCode } = this.#child
    if (exitCode === 0 || (exitCode === null && signalCode === null)) return undefined
    return `${this.name} ended with ${signalCode ?? `status ${exitCode}`}: ${this.#output}`
  }

  tell(message: Told): void {
    if (this.#child.connected) this.#child.send(message)
  }

  /** Resolves with the next message of that kind said after the last one taken. */
  async hears<Kind extends Said['kind']>(
    kind: Kind,
    patienceMs: number,
  ): Promise<Extract<Said, { kind: Kind }>> {
    const late = new Error(`${this.name} did not say "${kind}" within ${patienceMs} ms`)
    const giveUpAtMs = performance.now() + patienceMs
    for (;;) {
      const index = this.#said.findIndex(said => said.kind === kind)
      if (index >= 0) return this.#said.splice(0, index + 1)[index] as Extract<Said, { kind: Kind }>
      if (this.#isOver) throw new Error(`${this.failure ?? `${this.name} ended`} without "${kind}"`)
      const leftMs = giveUpAtMs - performance.now()
      if (leftMs <= 0) throw late
      await this.#change(leftMs)
    }
  }

  stop(): void {
    this.#child.kill('SIGSTOP')
  }

  go(): void {
    this.#child.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  /** Resolves when it has ended by itself; ends it if it does not. */
  async ends(patienceMs: number): Promise<boolean> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), patienceMs)
    await this.#ended
    clearTimeout(timer)
    return this.#child.exitCode === 0
  }

  #change(patienceMs: number): Promise<void> {
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        resolve()
      }
      const timer = setTimeout(done, patienceMs)
      this.#waiting.add(done)
    })
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done()
  }
}
