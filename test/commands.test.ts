import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const commands = [
  'test/run',
  'test/simulation/run',
  'test/chaos/run',
  'test/leaks/run',
  'test/mutants/run',
  'test/support/differential/run',
  'benchmarks/run',
  'benchmarks/embedded',
  'src/cli/quorate-etcd',
]

for (const command of commands) {
  test(`${command} prints its usage when asked for help, and one line for an option it does not have`, async t => {
    const [help, wrong] = await Promise.all([called(command, '--help'), called(command, '--heIp')])
    t.is(help.status, 0)
    t.regex(help.out, /^usage: /i)
    t.is(help.errors, '')
    t.is(wrong.status, 2)
    t.regex(wrong.errors, /^.*Unknown option '--heIp'.*--help.*\n$/s)
    t.notRegex(wrong.errors, /^ +at /m)
    t.is(wrong.out, '')
  })
}

test('a number that cannot be meant is told in one line, with the option it was given to', async t => {
  for (const [command, option] of [
    ['test/simulation/run', '--seeds'],
    ['test/chaos/run', '--minutes'],
    ['test/leaks/run', '--cycles'],
    ['test/mutants/run', '--jobs'],
    ['test/support/differential/run', '--scripts'],
    ['benchmarks/run', '--rounds'],
  ] as const) {
    const { status, errors } = await called(command, `${option}=-1`)
    t.is(status, 2, command)
    t.regex(errors, new RegExp(`^${option} is .*"-1".*\\n$`), command)
  }
})

interface Ending {
  readonly status: number | null
  readonly out: string
  readonly errors: string
}

async function called(command: string, ...args: readonly string[]): Promise<Ending> {
  const file = fileURLToPath(new URL(`../${command}.js`, import.meta.url))
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const status = new Promise<number | null>((resolve, reject) =>
    child.on('error', reject).on('close', resolve),
  )
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { status: await status, out, errors }
}
