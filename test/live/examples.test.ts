import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { run } from '../support/executable.ts'
import { series, useEtcd } from '../support/live.ts'

const sources = fileURLToPath(new URL('../../../examples/', import.meta.url))
const compiled = fileURLToPath(new URL('../../examples/', import.meta.url))
const etcd = useEtcd(test)

const course = readdirSync(sources).filter(file => file.endsWith('.ts'))

test('the examples are numbered from 01 on without a gap', t => {
  t.deepEqual(
    course.map(file => Number(file.slice(0, 2))),
    course.map((_, index) => index + 1),
  )
})

for (const file of course) {
  test(`the example ${file} prints what it says it does`, async t => {
    const promised = outputOf(readFileSync(path.join(sources, file), 'utf8'))
    if (promised === undefined) return t.fail('it does not end in "// Output:" and the lines it prints')
    const { stdout, stderr } = await run(
      process.execPath,
      [path.join(compiled, file.replace('.ts', '.js'))],
      {
        env: { ...process.env, NO_COLOR: '1', ETCD_ENDPOINTS: etcd().endpoint },
        timeoutMs: 30_000,
      },
    )
    t.is(stdout.trimEnd(), promised)
    t.is(stderr, '')
  })
}

test('the demo proves that no two jobs overlapped, and says so in one line', async t => {
  const { stdout } = await run(process.execPath, [path.join(compiled, 'demo', 'main.js')], {
    env: { ...process.env, QUORATE_ETCD_SERIES: series() },
    timeoutMs: 60_000,
  })
  t.regex(
    stdout,
    /^Proved: \d+ jobs, \d+ hand-overs, two kills, one zombie, one job and one leader at a time\.$/m,
  )
  t.false(stdout.includes('\u001b'), 'no colours where nobody looks')
})

/** The comment lines after `// Output:`, which end the file. */
function outputOf(source: string): string | undefined {
  const [, output] = source.split('\n// Output:\n')
  return output
    ?.trimEnd()
    .split('\n')
    .map(line => line.replace(/^\/\/ ?/, ''))
    .join('\n')
}
