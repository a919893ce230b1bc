import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { buildGo } from '../../test/support/go-peer.ts'
import { etcd3Folder, isEtcd3Installed } from './etcd3.ts'
import type { Answer, Job, Result, Side } from './job.ts'

const peer = fileURLToPath(new URL('../peer.js', import.meta.url))

/** The process of one side. It does one job at a time, and ends with this process at the latest. */
export class SideProcess implements AsyncDisposable {
  readonly side: Side
  readonly #child: ChildProcess
  readonly #lines: Interface
  readonly #ended: Promise<unknown>

  constructor(side: Side, command: readonly [string, ...string[]]) {
    const [program, ...args] = command
    this.side = side
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout! })
    this.#ended = once(this.#child, 'close')
    this.#child.stdin!.on('error', () => {})
  }

  async run(job: Job): Promise<Result> {
    const answered = once(this.#lines, 'line')
    this.#child.stdin!.write(`${JSON.stringify(job)}\n`)
    const line = await Promise.race([
      answered.then(([text]) => text as string),
      this.#ended.then(() => undefined),
    ])
    if (line === undefined) throw new Error(`${this.side} ended in the middle of its work`)
    const answer = JSON.parse(line) as Answer
    if ('error' in answer) throw new Error(`${this.side} could not do ${job.cmd}: ${answer.error}`)
    return answer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin!.end()
    await this.#ended
  }
}

/** The processes of several sides, gone when disposed of. Rejects with what to install when one is missing. */
export async function startSides(
  sides: readonly Side[],
): Promise<AsyncDisposable & { readonly processes: readonly SideProcess[] }> {
  const present = sides.filter(side => side !== 'etcd3' || isEtcd3Installed())
  if (present.length < sides.length) console.error(`without etcd3: npm install --prefix ${etcd3Folder}`)
  const commands = await Promise.all(present.map(commandOf))
  const processes = present.map((side, index) => new SideProcess(side, commands[index]!))
  return {
    processes,
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map(process => process[Symbol.asyncDispose]()))
    },
  }
}

async function commandOf(side: Side): Promise<readonly [string, ...string[]]> {
  // Flags given to this process are meant for what is measured: `node --cpu-prof dist/benchmarks/run.js …`.
  if (side !== 'go') return [process.execPath, ...process.execArgv, peer, side]
  const build = await buildGo('benchmarks/go')
  if (build.kind === 'absent') throw new Error(build.reason)
  return [build.path, 'serve']
}
