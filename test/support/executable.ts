import { execFile } from 'node:child_process'
import { access, constants, stat } from 'node:fs/promises'
import path from 'node:path'

export interface Output {
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  readonly timeoutMs?: number
}

/** Runs a program to its end. Rejects when it cannot be started or fails, with what it said. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Output> {
  const settings = {
    env: options.env ?? process.env,
    cwd: options.cwd,
    timeout: options.timeoutMs ?? 0,
    maxBuffer: 64 * 2 ** 20,
  }
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, settings, (failure, stdout, stderr) => {
      if (failure === null) return resolve({ stdout, stderr })
      const said = stderr.trim() || stdout.trim() || failure.message
      reject(new Error(`${path.basename(program)} ${args.join(' ')}: ${said}`, { cause: failure }))
    })
    child.stdin?.end()
  })
}

/** Folders of a list written like PATH. */
export function searchPath(list: string | undefined): string[] {
  return (list ?? '').split(path.delimiter).filter(entry => entry !== '')
}

/** The first of the folders that holds an executable of that name. */
export async function findExecutable(name: string, folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    const candidate = path.join(folder, name)
    if (await isExecutable(candidate)) return candidate
  }
  return undefined
}

export async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK)
    return (await stat(file)).isFile()
  } catch {
    return false
  }
}
