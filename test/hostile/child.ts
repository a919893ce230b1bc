import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Ended {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program of this folder to its end. */
export function run(
  program: string,
  flags: readonly string[] = [],
  args: readonly string[] = [],
): Promise<Ended> {
  const file = fileURLToPath(new URL(program, import.meta.url))
  return new Promise(resolve => {
    execFile(process.execPath, [...flags, file, ...args], { maxBuffer: 2 ** 26 }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    )
  })
}
