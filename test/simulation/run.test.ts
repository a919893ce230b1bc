import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const command = fileURLToPath(new URL('run.js', import.meta.url))

test('a seed that fails is told with the command that plays it again, to the same failure', async t => {
  // It is played some dozens of times to make it simple, and the machine may be busy.
  t.timeout(300_000)
  const { status, lines } = await simulate('--recipe careless --seeds 20 --workers 1 --failures 1')
  t.is(status, 1)
  const again = lines.find(line => line.startsWith('  again: npm run simulate -- '))
  const told = lines[lines.indexOf(again!) - 1]!.trim()
  t.regex(told, /^[a-z-]+: /)
  const replayed = await simulate(again!.split(' -- ')[1]!)
  t.is(replayed.status, 1)
  t.true(replayed.lines.includes(told), replayed.lines.slice(-5).join('\n'))
  // `--trace` is part of the command: what happened is there to be read.
  t.true(replayed.lines.some(line => line.includes('HOLDS careless/')))
})

test('seeds that keep every promise are counted, and the status is 0', async t => {
  t.timeout(300_000)
  const { status, lines } = await simulate('--recipe kv --seeds 2 --from 5 --workers 1')
  t.is(status, 0)
  t.regex(lines.at(-1)!, /^simulation kv: 2 seeds, 0 failed, \d{3,} reads and writes, /)
})

test('a recipe nobody knows is refused with the names of those there are', async t => {
  const { status, lines } = await simulate('--recipe unheard-of')
  t.not(status, 0)
  t.true(
    lines.some(line =>
      /--recipe is one of .*\bkv\b.*\bmutex\b.*careless, indeterminate, not "unheard-of"/.test(line),
    ),
  )
})

/** As a shell would take them: what stands in quotes is one. */
function argumentsOf(words: string): readonly string[] {
  return [...words.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!)
}

function simulate(words: string): Promise<{ status: number | null; lines: readonly string[] }> {
  const child = spawn(process.execPath, [command, ...argumentsOf(words)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', status => resolve({ status, lines: text.trimEnd().split('\n') }))
  })
}
