import test from 'ava'
import { run } from './child.ts'

for (const flag of [
  '--disallow-code-generation-from-strings',
  '--frozen-intrinsics',
  '--disable-proto=delete',
  '--disable-proto=throw',
]) {
  test(`everything works under ${flag}`, async t => {
    const { code, stdout, stderr } = await run('everyday.js', [flag, '--no-warnings'])
    t.is(stdout, 'done\n', stderr)
    t.is(code, 0)
  })
}
