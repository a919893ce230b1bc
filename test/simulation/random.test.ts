import test from 'ava'
import { Random } from './random.ts'

test('what one fork draws does not shift what another gets', t => {
  const once = new Random(7)
  const again = new Random(7)
  const noisy = again.fork('noisy')
  for (let draw = 0; draw < 10; draw++) noisy.next()
  t.deepEqual(draws(once.fork('quiet')), draws(again.fork('quiet')))
})

test('forks of different names, and of different seeds, draw differently', t => {
  const sequences = [new Random(7).fork('a'), new Random(7).fork('b'), new Random(8).fork('a')].map(draws)
  t.is(new Set(sequences.map(String)).size, 3)
})

function draws(random: Random): readonly number[] {
  return Array.from({ length: 5 }, () => random.next())
}
