/**
 * The long run: many random scripts on the embedded server and on a real one.
 *
 * Prints the shortest failing script of each seed that shows a difference. The last line is
 * `N scripts, N differences`; the exit status is 1 if there was any.
 */
import { parseArgs } from 'node:util'
import { startEtcd } from '../../../src/embedded/index.ts'
import { commandLine, oneOf, wholeNumber } from '../command.ts'
import { allSeries } from '../etcd-binaries.ts'
import { described } from './duel.ts'
import { literal } from './script.ts'
import { compare } from './tournament.ts'

const usage = `usage: npm run differential -- [options]

  --scripts N        random scripts to play (2000)
  --seed N           of the first (1)
  --series 3.4|3.5   of the real server (3.5)
  --help             print this`

const { series, firstSeed, scripts } = commandLine(usage, planFrom)

await using server = await startEtcd({ port: false })
const differences = await compare(
  { address: server.endpoints[0]!, transport: server.transport },
  {
    series,
    firstSeed,
    scripts,
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
console.log(`${scripts} scripts, ${differences} differences from etcd ${series}`)
if (differences > 0) process.exitCode = 1

function planFrom(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      scripts: { type: 'string', default: '2000' },
      seed: { type: 'string', default: '1' },
      series: { type: 'string', default: '3.5' },
    },
  })
  return {
    series: oneOf('--series', values.series, allSeries),
    firstSeed: wholeNumber('--seed', values.seed, 0),
    scripts: wholeNumber('--scripts', values.scripts, 0),
  }
}
