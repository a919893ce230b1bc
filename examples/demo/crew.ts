import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Watchdog } from '../../test/support/watchdog.ts'
import type { FromWorker, ToWorker } from './messages.ts'

const script = fileURLToPath(new URL('./worker.js', import.meta.url))

/** A worker process, as the demo sees it. */
export class Worker {
  readonly name: string
  readonly pid: number
  readonly ready: Promise<unknown>
  readonly exited: Promise<unknown>
  readonly #child: ChildProcess

  constructor(name: string, watchdog: Watchdog, hear: (worker: Worker, message: FromWorker) => void) {
    this.name = name
    this.#child = fork(script, [name])
    if (this.#child.pid === undefined) throw new Error(`${name} could not be started`)
    const pid = this.#child.pid
    this.pid = pid
    watchdog.guard(pid)
    this.ready = once(this.#child, 'message')
    this.exited = once(this.#child, 'exit').then(() => watchdog.forget(pid))
    this.#child.on('message', (message: FromWorker) => hear(this, message))
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  tell(message: ToWorker): void {
    // Whoever was killed hears nothing more, and that is no error.
    if (this.#child.connected) this.#child.send(message, () => {})
  }

  /** SIGKILL: it cannot unlock, nor say good-bye. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** SIGSTOP: it is still there, and does not know that time goes on. */
  stop(): void {
    this.#child.kill('SIGSTOP')
  }

  /** SIGCONT: it goes on where it was. */
  wake(): void {
    this.#child.kill('SIGCONT')
  }
}
