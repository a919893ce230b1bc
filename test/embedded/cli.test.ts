import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { parseCommand } from '../../src/cli/etcd-command.ts'
import { connect } from '../../src/index.ts'

const program = fileURLToPath(new URL('../../src/cli/quorate-etcd.js', import.meta.url))

test('arguments become options, and what is left out stays as it is', t => {
  const command = parseCommand(['--listen', '[::1]:4001', '--quota-bytes=0', '--max-txn-ops', '7'])
  t.like(command, { kind: 'serve', options: { host: '::1', port: 4001, quotaBytes: 0, maxTxnOps: 7 } })
  t.like(parseCommand([]), { options: { host: '127.0.0.1', port: 2379, authTokenTtl: undefined } })
  t.deepEqual(parseCommand(['-h']), { kind: 'help' })
})

test('it serves other processes until it is told to stop, and then ends in order', async t => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const { child, stdout } = start('--listen=127.0.0.1:0')
    const [line] = (await once(createInterface({ input: stdout }), 'line')) as [string]
    const address = /127\.0\.0\.1:\d+/.exec(line)?.[0]
    t.truthy(address, line)
    const etcd = await connect(address!)
    await etcd.put('k', 'v')
    t.is((await etcd.get('k'))?.text(), 'v')
    await etcd.close()
    child.kill(signal)
    t.deepEqual(await once(child, 'exit'), [0, null])
  }
})

test('help is printed, and nothing is served', async t => {
  const { status, output } = await finished('--help')
  t.is(status, 0)
  t.regex(output, /^Usage: quorate-etcd/)
})

test('arguments that make no sense are named, in one line', async t => {
  for (const [wrong, said] of [
    [['--listen', 'nowhere'], "--listen is HOST:PORT, as 127.0.0.1:2379, not 'nowhere'"],
    [['--listen', '127.0.0.1:99999'], "--listen is HOST:PORT, as 127.0.0.1:2379, not '127.0.0.1:99999'"],
    [['--quota-bytes', 'much'], "--quota-bytes is a whole number of at least 0, not 'much'"],
    [
      ['--max-request-bytes', '2000000000'],
      "--max-request-bytes is a whole number of at least 1 and at most 1073741824, not '2000000000'",
    ],
    [['--data-dir', 'x'], "Unknown option '--data-dir'"],
    [['extra'], "Unexpected argument 'extra'"],
  ] as const) {
    const { status, output } = await finished(...wrong)
    t.is(status, 2, output)
    t.true(output.startsWith(`quorate-etcd: ${said}`), output)
    t.false(output.includes('    at '), output)
  }
})

test('a snapshot that is not there, or is none, is said to be', async t => {
  const absent = await finished('--snapshot=/nowhere/snapshot')
  t.is(absent.status, 1)
  t.regex(absent.output, /^quorate-etcd: ENOENT: no such file or directory/)
  const foreign = await finished(`--snapshot=${program}`)
  t.is(foreign.status, 1)
  t.regex(foreign.output, /^quorate-etcd: not a snapshot of an embedded etcd/)
})

test('a port that is in use is said to be', async t => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  const { status, output } = await finished(`--listen=127.0.0.1:${port}`)
  t.is(status, 1)
  t.is(output, `quorate-etcd: cannot listen on 127.0.0.1:${port}: the port is in use\n`)
  other.close()
})

function start(...args: readonly string[]) {
  const child: ChildProcess = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return { child, stdout: child.stdout!, stderr: child.stderr! }
}

async function finished(...args: readonly string[]): Promise<{ status: number; output: string }> {
  const { child, stdout, stderr } = start(...args)
  let output = ''
  for (const stream of [stdout, stderr]) stream.on('data', data => (output += data))
  const [status] = (await once(child, 'close')) as [number]
  return { status, output }
}
