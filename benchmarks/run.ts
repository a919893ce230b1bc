/** Measures this library beside etcd's Go client, on the same server and in the same run. */
import { commandLine } from '../test/support/command.ts'
import { startEtcd } from '../test/support/etcd-server.ts'
import { alone } from './scenarios/alone.ts'
import { election } from './scenarios/election.ts'
import { handOff } from './scenarios/hand-off.ts'
import { lock } from './scenarios/lock.ts'
import { rwLock } from './scenarios/rw-lock.ts'
import { stm } from './scenarios/stm.ts'
import { type Plan, planFrom, usage } from './support/arguments.ts'
import { thisMachine } from './support/machine.ts'
import { record } from './support/record.ts'
import { markdown, type Report, settingReport } from './support/report.ts'
import { alternate } from './support/rounds.ts'
import type { Scenario } from './support/scenario.ts'
import { startSides } from './support/side-process.ts'

const all = [handOff, election, lock, rwLock, alone, stm]

const plan = commandLine(usage(all), args => planFrom(args, all))
try {
  await run(plan)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

async function run(plan: Plan): Promise<void> {
  const reports: Report[] = []
  for (const series of plan.series) {
    for (const scenario of plan.scenarios) {
      const report = await measure(scenario, series, plan)
      reports.push(report)
      if (plan.record) console.error(`recorded in ${await record(report)}`)
      if (plan.output === 'table') {
        const sides = scenario.sides.filter(side => report.settings[0]?.sides[side] !== undefined)
        console.log(markdown(report, sides))
      }
    }
  }
  if (plan.output === 'json') console.log(JSON.stringify(reports, undefined, 2))
}

/** One scenario on a server of its own, with every side in a process of its own that lives as long. */
async function measure(
  scenario: Scenario,
  series: Plan['series'][number],
  { rounds, seconds, warmUp }: Plan,
): Promise<Report> {
  await using sides = await startSides(scenario.sides)
  await using server = await startEtcd({ series })
  const at = new Date().toISOString()
  const settings: Report['settings'][number][] = []
  for (const setting of scenario.settings) {
    const outcome = await alternate(sides.processes, setting.work, {
      rounds,
      conditions: { endpoint: server.endpoint, seconds, warmUp },
      progress: (side, round) =>
        console.error(
          `${scenario.name} ${series}: ${setting.label}, round ${round + 1} of ${rounds}, ${side}`,
        ),
    })
    settings.push(settingReport(setting, outcome))
  }
  const { name, about } = scenario
  const etcd = server.binary.version
  return { scenario: name, about, at, rounds, seconds, series, etcd, machine: await thisMachine(), settings }
}
