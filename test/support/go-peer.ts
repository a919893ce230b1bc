/**
 * The Go programs of the house, built once per change of their source: the interoperability peer and the
 * benchmark peer. Needs Go and etcd's Go client as Debian packages them; where they are missing the answer
 * says so instead of rejecting, because leaving these tests out is a decision for the caller.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { findExecutable, isExecutable, run, searchPath } from './executable.ts'

export type GoProgram = 'test/interop/go' | 'benchmarks/go'

export type GoBuild =
  | { readonly kind: 'built'; readonly path: string }
  /** Why not, in one line that says what to install. */
  | { readonly kind: 'absent'; readonly reason: string }

/** One line of the peer's output. Numbers are decimal strings, leases are hex; see the program for the events. */
export interface PeerEvent {
  readonly event: string
  /** `process.hrtime.bigint()` of this machine when it happened. */
  readonly ns: string
  readonly [field: string]: string
}

export interface PeerExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

const goPath = '/usr/share/gocode'
const clientLibrary = path.join(goPath, 'src', 'go.etcd.io', 'etcd', 'clientv3', 'concurrency', 'mutex.go')

/** Builds the program unless this very source was built before. Rejects when the source does not compile. */
export async function buildGo(program: GoProgram): Promise<GoBuild> {
  const go = await findExecutable('go', searchPath(process.env.PATH))
  if (go === undefined) return { kind: 'absent', reason: 'no Go compiler: install golang-go' }
  if (!(await isReadable(clientLibrary))) {
    return { kind: 'absent', reason: 'no Go client of etcd: install golang-etcd-server-dev' }
  }

  const folder = fileURLToPath(new URL(`../../../${program}/`, import.meta.url))
  const source = path.join(folder, 'main.go')
  const { stdout: version } = await run(go, ['version'])
  const digest = createHash('sha256')
    .update(version)
    .update(await readFile(source))
    .digest('hex')
  const binaries = path.join(folder, 'bin')
  const binary = path.join(binaries, digest.slice(0, 16))
  if (await isExecutable(binary)) return { kind: 'built', path: binary }

  await mkdir(binaries, { recursive: true })
  const staging = await mkdtemp(path.join(binaries, '.staging-'))
  try {
    const env = { ...process.env, GO111MODULE: 'off', GOPATH: goPath, GOFLAGS: '' }
    await run(go, ['build', '-o', path.join(staging, 'program'), source], { env, cwd: folder })
    // By one rename, so that another process that builds the same at the same time does no harm.
    await rename(path.join(staging, 'program'), binary)
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
  return { kind: 'built', path: binary }
}

/** The peer of the interoperability tests. Rejects, saying what to install, when it cannot be built here. */
export async function goPeer(): Promise<GoPeer> {
  const build = await buildGo('test/interop/go')
  if (build.kind === 'absent') throw new Error(build.reason)
  return new GoPeer(build.path)
}

export class GoPeer {
  readonly #binary: string

  constructor(binary: string) {
    this.#binary = binary
  }

  /** `start('hold', { endpoint, name: '/locks/x', ttl: 5 })`; the flags are the program's own. */
  start(command: string, flags: Readonly<Record<string, string | number>>): PeerProcess {
    const args = Object.entries(flags).map(([flag, value]) => `-${flag}=${value}`)
    return new PeerProcess(spawn(this.#binary, [command, ...args], { stdio: ['pipe', 'pipe', 'inherit'] }))
  }
}

/** A running peer. Ends with this process at the latest, since its stdin ends then. */
export class PeerProcess {
  /** All events so far, oldest first. */
  readonly events: PeerEvent[] = []
  readonly exited: Promise<PeerExit>
  readonly #child: ChildProcess
  readonly #waiters = new Set<() => void>()
  #taken = 0
  #hasEnded = false

  constructor(child: ChildProcess) {
    this.#child = child
    child.stdin?.on('error', () => {})
    createInterface({ input: child.stdout! }).on('line', line => {
      this.events.push(JSON.parse(line) as PeerEvent)
      this.#wake()
    })
    // `close` comes after the last line was read, `exit` may come before.
    this.exited = once(child, 'close').then(([code, signal]) => {
      this.#hasEnded = true
      this.#wake()
      return { code, signal } as PeerExit
    })
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the peer could not be started')
    return this.#child.pid
  }

  /** The next event of that kind that no earlier call has gone past. Rejects when the peer ends without it. */
  async next(event: string): Promise<PeerEvent> {
    for (;;) {
      while (this.#taken < this.events.length) {
        const candidate = this.events[this.#taken++]!
        if (candidate.event === event) return candidate
      }
      if (this.#hasEnded) throw new Error(`the peer ended without "${event}": ${JSON.stringify(this.events)}`)
      await new Promise<void>(resolve => this.#waiters.add(resolve))
    }
  }

  /** Sends a line to the program: `unlock`, `proclaim v`, `resign`. */
  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`)
  }

  /** Ends its stdin: whatever it holds is let go, and it exits. */
  finish(): Promise<PeerExit> {
    this.#child.stdin?.end()
    return this.exited
  }

  /** SIGSTOP: its lease runs out while it believes to own. */
  pause(): void {
    this.#child.kill('SIGSTOP')
  }

  resume(): void {
    this.#child.kill('SIGCONT')
  }

  /** SIGKILL: nothing is let go before its lease ends. */
  kill(): Promise<PeerExit> {
    this.#child.kill('SIGKILL')
    return this.exited
  }

  #wake(): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const look of waiters) look()
  }
}

async function isReadable(file: string): Promise<boolean> {
  return readFile(file).then(
    () => true,
    () => false,
  )
}
