import test from 'ava'
import type { Contender } from '../../recipes/contender.ts'
import { explainLine } from '../../recipes/explain.ts'

test('a long line is explained in one pass, and whom each waits for is told when it is asked for', t => {
  const length = 5000
  const line = Array.from(
    { length },
    (_, index): Contender => ({
      key: Buffer.from('key'),
      leaseId: BigInt(index + 1),
      createRevision: BigInt(index + 2),
      foreign: false,
      mode: index % 2 === 0 ? 'write' : 'read',
    }),
  )
  let looks = 0
  const { places, text } = explainLine(
    { kind: 'read-write lock', name: Buffer.from('line'), ours: undefined },
    line,
    {
      holding: 1,
      shares: ({ mode }) => {
        looks += 1
        return mode === 'read'
      },
    },
  )
  t.is(looks, 2 * length)
  t.is(places.at(-1)!.waitsFor.length, length / 2, 'a reader waits for writers')
  t.is(places.at(-2)!.waitsFor.length, length - 2, 'a writer waits for all')
  t.is(places.at(-2)!.waitsFor.at(-1), line.at(-3))
  t.regex(text, /behind lease .* with 4999 and 4997 before/)
})
