import test from 'ava'
import { run } from './child.ts'

test('whatever is put into Object.prototype, every request and every result is what it was without', async t => {
  t.timeout(300_000)
  const { stdout, stderr } = await run('polluted.js')
  t.is(stderr, '')
  const { names, lines, differences } = JSON.parse(stdout) as {
    readonly names: number
    readonly lines: number
    readonly differences: readonly string[]
  }
  t.deepEqual(differences, [])
  t.true(names >= 150, `only ${names} names were tried`)
  t.true(lines >= 30, `only ${lines} lines were compared`)
})
