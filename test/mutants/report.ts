import type { Trial } from './trial.ts'

/** One line for the terminal, with what there is to remark below it. */
export function describe({ mutant, fate, test, rule, seeds, remarks, seconds }: Trial): string {
  const by = [test, rule === undefined ? undefined : `${rule} (${seeds} seeds)`].filter(Boolean).join(' and ')
  const mark = fate === 'killed' ? '✔' : '✘'
  const told = `${mark} ${mutant.name} ${fate}${by === '' ? '' : ` by ${by}`} in ${seconds.toFixed(1)} s`
  return [told, ...remarks.map(remark => `    ${remark}`)].join('\n')
}

export function summary(trials: readonly Trial[]): string {
  const count = (fate: Trial['fate']) => trials.filter(trial => trial.fate === fate).length
  const bySimulation = trials.filter(({ seeds }) => seeds !== undefined)
  const within200 = bySimulation.filter(({ seeds }) => seeds! <= 200).length
  const parts = [
    `${trials.length} mutants: ${count('killed')} killed`,
    `${count('survived')} survived`,
    `${count('does not compile')} did not compile`,
  ]
  if (bySimulation.length > 0)
    parts.push(`${bySimulation.length} seen by simulation, ${within200} of them within 200 seeds`)
  return parts.join(', ')
}

/** The table for the documentation. */
export function markdown(trials: readonly Trial[]): string {
  const rows = trials.map(({ mutant, fate, test, rule, seeds }) => {
    const seen = [test, rule].filter(part => part !== undefined).join('; ')
    return [`\`${mutant.name}\``, mutant.promise, seen === '' ? fate : seen, seeds ?? '']
  })
  const lines = [['mutant', 'promise it breaks', 'seen by', 'seeds'], ['---', '---', '---', '---:'], ...rows]
  return `${lines.map(cells => `| ${cells.map(cell => String(cell).replaceAll('|', '\\|')).join(' | ')} |`).join('\n')}\n`
}
