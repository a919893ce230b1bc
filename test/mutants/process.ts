import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface Run {
  /** `undefined`: it did not end in time, and was ended with all it had started. */
  readonly status: number | undefined
  readonly lines: readonly string[]
  readonly seconds: number
}

export interface RunOptions {
  readonly cwd: string
  readonly limitMs: number
  readonly env?: NodeJS.ProcessEnv | undefined
}

/** Runs Node in a process group of its own, to its end or to the end of its time. */
export async function runNode(args: readonly string[], { cwd, limitMs, env }: RunOptions): Promise<Run> {
  const startedAtMs = performance.now()
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', line => void lines.push(line))
  let late = false
  const timer = setTimeout(() => {
    late = true
    endGroup(child.pid)
  }, limitMs)
  const interrupted = () => endGroup(child.pid)
  // Before the folder it runs in is removed.
  process.prependOnceListener('exit', interrupted)
  try {
    // `close` comes after both streams have ended.
    const status = await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', code => resolve(code ?? 1))
    })
    return { status: late ? undefined : status, lines, seconds: (performance.now() - startedAtMs) / 1000 }
  } finally {
    clearTimeout(timer)
    process.off('exit', interrupted)
  }
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
