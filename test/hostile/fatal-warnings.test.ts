import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const root = new URL('../../../', import.meta.url)
const ava = new URL('node_modules/ava/entrypoints/', root)
const hook = new URL('../support/fatal-warnings.js', import.meta.url)

/** Runs ava on a file for each of these bodies, with the hook as `npx ava` has it. Resolves with its report. */
async function runAva(bodies: readonly string[], hooked: readonly URL[]): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'quorate-ava-'))
  try {
    const require = hooked.map(url => fileURLToPath(url))
    const settings = { files: ['*.test.js'], workerThreads: false, require }
    await writeFile(path.join(folder, 'package.json'), JSON.stringify({ type: 'module', ava: settings }))
    for (const [index, body] of bodies.entries()) {
      await writeFile(path.join(folder, `file-${index}.test.js`), fileWith(body))
    }
    const { NODE_OPTIONS: _, ...env } = process.env
    const args = [fileURLToPath(new URL('cli.mjs', ava)), '--tap', '--concurrency=2']
    const child = spawn(process.execPath, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'ignore'] })
    let report = ''
    child.stdout.on('data', data => {
      report += data
    })
    await once(child, 'close')
    return report
  } finally {
    await rm(folder, { recursive: true })
  }
}

function fileWith(body: string): string {
  return `
    import { spawnSync } from 'node:child_process'
    import { setTimeout as sleep } from 'node:timers/promises'
    import test from ${JSON.stringify(new URL('main.mjs', ava).href)}
    test('passes', async t => {
      ${body}
      await sleep(50)
      t.pass()
    })`
}

/** Was anything of this file reported as failed? */
function isRed(report: string, index: number): boolean {
  return report.split('\n').some(line => line.startsWith('not ok') && line.includes(`file-${index}`))
}

const mishaps: Readonly<Record<string, string>> = {
  'an unhandled rejection': `void Promise.reject(new Error('mishap'))`,
  'an unhandled rejection of no error': `void Promise.reject('mishap')`,
  'an uncaught exception': `setImmediate(() => { throw new Error('mishap') })`,
  'an eleventh listener on one signal': `
    const { signal } = new AbortController()
    for (let n = 0; n < 11; n++) signal.addEventListener('abort', () => {})`,
  'an eleventh listener on one emitter': `
    const { EventEmitter } = await import('node:events')
    const emitter = new EventEmitter()
    for (let n = 0; n < 11; n++) emitter.on('event', () => {})`,
  'a deprecation': `process.emitWarning('mishap', 'DeprecationWarning', 'DEP9999')`,
  'a timer too long for Node': `clearTimeout(setTimeout(() => {}, 2 ** 31))`,
  'a deprecation in a process that was started': `
    const child = spawnSync(process.execPath, ['-e', "process.emitWarning('mishap', 'DeprecationWarning')"])
    t.is(child.status, 0, 'mishap')`,
  'an unhandled rejection in a process that was started': `
    const child = spawnSync(process.execPath, ['-e', "Promise.reject('mishap'); process.on('unhandledRejection', () => {})"])
    t.is(child.status, 0, 'mishap')`,
}

const harmless = `process.emitWarning('short', { type: 'QuorateWarning', code: 'SHORT_TTL' })`

test('whatever would pass unnoticed turns its test file red, and nothing else does', async t => {
  const report = await runAva([...Object.values(mishaps), harmless], [hook])
  for (const [index, what] of Object.keys(mishaps).entries())
    t.true(isRed(report, index), `${what}: ${report}`)
  t.false(isRed(report, Object.keys(mishaps).length), report)
})

test('without the hook a leak of listeners would pass', async t => {
  const report = await runAva([mishaps['an eleventh listener on one signal']!, harmless], [])
  t.false(isRed(report, 0), report)
  t.false(isRed(report, 1), report)
  t.regex(report, /^ok 1 /m)
})

test('the hook is in this very process, and in whatever it starts', t => {
  t.true(process.listeners('warning').some(({ name }) => name === 'fatal'))
  t.true(process.env.NODE_OPTIONS?.includes(hook.href))
})
