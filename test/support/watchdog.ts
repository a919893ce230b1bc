import { type ChildProcess, spawn } from 'node:child_process'
import { rm } from 'node:fs/promises'

/**
 * Sees to it that processes do not outlive this one, however it ends: also by SIGKILL, when no handler runs
 * and nothing else would stop a server. A shell reads a pipe that only this process holds open. Each line is
 * the list of processes alive; at the end of the pipe it kills those of the last line and removes the folder.
 */
const script = `
trap '' INT TERM HUP
while IFS= read -r line; do pids=$line; done
[ -n "$pids" ] && kill -KILL $pids 2>/dev/null
rm -rf -- "$1" 2>/dev/null || { sleep 1; rm -rf -- "$1"; }
`

export class Watchdog {
  readonly #folder: string
  readonly #shell: ChildProcess
  readonly #pids = new Set<number>()
  readonly #ended: Promise<void>

  constructor(folder: string) {
    this.#folder = folder
    this.#shell = spawn('/bin/sh', ['-c', script, 'watchdog', folder], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    this.#ended = new Promise(resolve => {
      this.#shell.once('exit', () => resolve())
      this.#shell.once('error', () => resolve())
    })
    this.#shell.stdin?.on('error', () => {})
    // The pipe alone keeps no process alive.
    this.#shell.unref()
  }

  guard(pid: number): void {
    this.#pids.add(pid)
    this.#tell()
  }

  /** To be called as soon as the process is known to have ended: its id may be given to another. */
  forget(pid: number): void {
    this.#pids.delete(pid)
    this.#tell()
  }

  /** Kills what is still guarded and removes the folder. Resolves when that is done. */
  async finish(): Promise<void> {
    this.#shell.ref()
    this.#shell.stdin?.end()
    await this.#ended
    // The machine may have a shell and no rm on its PATH.
    await rm(this.#folder, { recursive: true, force: true })
  }

  #tell(): void {
    this.#shell.stdin?.write(`${[...this.#pids].join(' ')}\n`)
  }
}
