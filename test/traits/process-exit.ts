import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'
import type { TestServer } from '../support/test-server.ts'

/** How long a process may take from the end of its work to its own end. */
const EXIT_MS = 1000

/**
 * Runs a script of `test/`, compiled, with the endpoints as its arguments. The script says `closed` when its
 * work is over and never calls `process.exit`: that it ends all the same, soon and with status 0, is the trait.
 */
export async function doesNotKeepTheProcessAlive(
  t: ExecutionContext<unknown>,
  server: TestServer,
  script: string,
  ...args: readonly string[]
): Promise<void> {
  const file = fileURLToPath(new URL(`../${script}.js`, import.meta.url))
  const child = spawn(
    process.execPath,
    ['--unhandled-rejections=strict', file, ...args, ...server.endpoints],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  let closedAtMs: number | undefined
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
    if (said.includes('closed')) closedAtMs ??= performance.now()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const [code, signal] = await once(child, 'exit')
  t.is(signal, null)
  t.is(code, 0, said)
  t.not(closedAtMs, undefined, said)
  const lingeredMs = performance.now() - closedAtMs!
  t.true(lingeredMs < EXIT_MS, `it stayed for ${lingeredMs} ms: ${said}`)
}
