/**
 * The long run: many random scripts on the embedded server and on a real one. Usage, after the build:
 *
 *     node dist/test/support/differential/run.js [--scripts 2000] [--seed 1] [--series 3.4|3.5]
 *
 * Prints the shortest failing script of each seed that shows a difference. The last line is
 * `N scripts, N differences`; the exit status is 1 if there was any.
 */
import { parseArgs } from 'node:util'
import { startEtcd } from '../../../src/embedded/index.ts'
import { allSeries } from '../etcd-binaries.ts'
import { described } from './duel.ts'
import { literal } from './script.ts'
import { compare } from './tournament.ts'

const { values } = parseArgs({
  options: {
    scripts: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1' },
    series: { type: 'string', default: '3.5' },
  },
})
const series = allSeries.find(known => known === values.series)
if (series === undefined)
  throw new RangeError(`--series is one of ${allSeries.join(', ')}, not ${values.series}`)

await using server = await startEtcd({ port: false })
const differences = await compare(
  { address: server.endpoints[0]!, transport: server.transport },
  {
    series,
    firstSeed: wholeNumber('--seed', values.seed),
    scripts: wholeNumber('--scripts', values.scripts),
    onDifference: (seed, difference) => console.log(described(seed, difference)),
    onPassing: (seed, { where, ours, theirs }) =>
      console.log(
        `seed ${seed}, once and never again: ${where}\nours:   ${literal(ours)}\ntheirs: ${literal(theirs)}`,
      ),
    onProgress: played => {
      if (played % 100 === 0) console.log(`${played} scripts`)
    },
  },
)
console.log(`${values.scripts} scripts, ${differences} differences from etcd ${series}`)
if (differences > 0) process.exitCode = 1

function wholeNumber(option: string, value: string): number {
  if (!/^\d+$/.test(value)) throw new RangeError(`${option} is a whole number, not ${value}`)
  return Number(value)
}
