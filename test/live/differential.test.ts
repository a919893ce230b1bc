import test from 'ava'
import { startEtcd } from '../../src/embedded/index.ts'
import { described } from '../support/differential/duel.ts'
import { scriptOf } from '../support/differential/generator.ts'
import { bytes, literal, resolved, since } from '../support/differential/script.ts'
import { shortest } from '../support/differential/shrink.ts'
import { compare } from '../support/differential/tournament.ts'
import { series } from '../support/live.ts'

const SCRIPTS = 200

const against = series()

// Compared with itself it would prove nothing.
if (against !== 'embedded') {
  test('the embedded server answers random scripts as a real one does, field for field', async t => {
    t.timeout(300_000)
    await using server = await startEtcd({ port: false })
    const found: string[] = []
    const differences = await compare(
      { address: server.endpoints[0]!, transport: server.transport },
      {
        series: against,
        firstSeed: 1,
        scripts: SCRIPTS,
        onDifference: (seed, difference) => found.push(described(seed, difference)),
        onPassing: (seed, { where }) => t.log(`seed ${seed}, once and never again: ${where}`),
      },
    )
    t.is(differences, 0, found.join('\n\n'))
  })
}

test('a seed always makes the same script, and another seed another', t => {
  t.is(literal(scriptOf(7)), literal(scriptOf(7)))
  t.not(literal(scriptOf(7)), literal(scriptOf(8)))
})

test('revisions of a script count from where it begins', t => {
  const plain = { key: bytes('k'), revision: since(3), nested: [{ revision: since(-1), limit: 2n }] }
  t.deepEqual(resolved(plain, 10n), { key: bytes('k'), revision: 13n, nested: [{ revision: 9n, limit: 2n }] })
})

test('a failing script shrinks to the steps that are needed, in their order', async t => {
  let tried = 0
  const needed = [3, 11, 12]
  const left = await shortest([...Array(30).keys()], async candidate => {
    tried++
    return needed.every(step => candidate.includes(step))
  })
  t.deepEqual(left, needed)
  t.true(tried < 60, `${tried} tries`)
})
