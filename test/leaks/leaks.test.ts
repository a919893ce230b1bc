import { execFile } from 'node:child_process'
import { setMaxListeners } from 'node:events'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { Etcd } from '../../src/index.ts'
import { type Finding, play } from './play.ts'
import type { Act, Stage } from './scenario.ts'

const program = fileURLToPath(new URL('run.js', import.meta.url))

interface Judged extends Finding {
  readonly faults: readonly string[]
}

/** In a process of its own: the heap of this one belongs to the test runner, too. */
function run(...args: readonly string[]): Promise<{ code: number; findings: readonly Judged[] }> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      process.execPath,
      ['--expose-gc', program, '--json', ...args],
      (error, out, err) => {
        const code = child.exitCode
        if (code !== 0 && code !== 1) return reject(new Error(err, { cause: error }))
        const findings = out.split('\n').filter(line => line !== '')
        resolve({ code, findings: findings.map(line => JSON.parse(line) as Judged) })
      },
    )
  })
}

test('five thousand times everything a client does leaves nothing behind', async t => {
  t.timeout(300_000)
  const { code, findings } = await run('--cycles', '5000')
  t.deepEqual(
    findings.filter(({ faults }) => faults.length > 0).map(({ scenario, faults }) => ({ scenario, faults })),
    [],
  )
  t.is(findings.length, 9)
  t.is(code, 0)
  for (const { scenario, growth } of findings) t.log(`${scenario}: ${growth} bytes`)
})

test('64 bytes left behind in each cycle are noticed', async t => {
  const { code, findings } = await run('--cycles', '5000', '--scenario', 'open and close a session', '--leak')
  t.is(code, 1)
  t.is(findings.length, 1)
  for (const { growth, faults } of findings) {
    t.true(growth > 150_000, String(growth))
    t.deepEqual(faults, [`the heap grew by ${growth} bytes, more than 114688`])
  }
})

const forgotten: Etcd[] = []
const forgottenTimers: NodeJS.Timeout[] = []

test.afterEach.always(async () => {
  await Promise.all(forgotten.splice(0).map(etcd => etcd.close()))
  for (const timer of forgottenTimers.splice(0)) clearTimeout(timer)
})

interface Leftover {
  readonly what: string
  open(stage: Stage): Promise<Act>
  readonly told: readonly RegExp[]
}

const leftovers: readonly Leftover[] = [
  {
    what: 'keys',
    open: clientDoing((etcd, index) => etcd.put(`left/${index}`, '')),
    told: [/^20 keys more, in all cycles$/, /^520 keys after closing$/],
  },
  {
    what: 'leases',
    open: clientDoing(etcd => etcd.lease.grant(60)),
    told: [/^20 leases more/, /^520 leases after closing$/],
  },
  {
    what: 'watches nobody closes',
    open: clientDoing(etcd => etcd.watch('watched').ready),
    told: [/^20 watches more/],
  },
  {
    what: 'listeners on a signal that is used again and again',
    open: async ({ signal }) => {
      setMaxListeners(0, signal)
      return {
        cycle: async () => signal.addEventListener('abort', () => {}),
        close: async () => {},
      }
    },
    told: [/^20 listeners more/, /^520 listeners after closing$/],
  },
  {
    what: 'clients nobody closes',
    open: async ({ connect }) => ({
      cycle: async () => void forgotten.push(await connect()),
      close: async () => {},
    }),
    told: [/^20 links more/, /^520 links after closing$/, /^520 Timeout after closing$/],
  },
  {
    what: 'timers',
    open: async () => ({
      cycle: async () => void forgottenTimers.push(setTimeout(() => {}, 60_000)),
      close: async () => {},
    }),
    told: [/^20 resources more/, /^520 Timeout after closing$/],
  },
]

for (const { what, open, told } of leftovers) {
  test.serial(`${what} left behind are noticed`, async t => {
    const { left } = await play({ name: what, open }, 20)
    for (const words of told)
      t.true(
        left.some(line => words.test(line)),
        `${words} in ${left.join('; ')}`,
      )
    t.is(left.length, told.length, left.join('; '))
  })
}

function clientDoing(act: (etcd: Etcd, index: number) => Promise<unknown>): (stage: Stage) => Promise<Act> {
  return async ({ connect }) => {
    const etcd = await connect()
    return { cycle: async index => void (await act(etcd, index)), close: () => etcd.close() }
  }
}
