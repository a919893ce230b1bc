import test from 'ava'
import type { Attack, Killer } from './killer.ts'
import type { Mutant } from './mutant.ts'
import { describe, markdown, summary } from './report.ts'
import { tried } from './trial.ts'
import type { Workshop } from './workshop.ts'

const mutant: Mutant = {
  name: 'a-mutant',
  promise: 'this | or that',
  file: 'a.ts',
  find: 'one',
  replace: 'two',
  tests: [],
}

test('the first test that sees a mutant ends the search among tests, the simulation is asked all the same', async t => {
  const [blind, sharp, spared] = [
    killer({ kind: 'survived' }),
    killer({ kind: 'killed', by: 'b: sees' }),
    killer(),
  ]
  const simulation = killer({ kind: 'killed', by: 'exclusion', seeds: 7 })
  const trial = await tried(mutant, workshop(), { tests: [blind, sharp, spared], simulations: [simulation] })
  t.like(trial, { fate: 'killed', test: 'b: sees', rule: 'exclusion', seeds: 7 })
  t.deepEqual(
    [blind, sharp, spared, simulation].map(({ attacks }) => attacks),
    [1, 1, 0, 1],
  )
  t.regex(describe(trial), /^✔ a-mutant killed by b: sees and exclusion \(7 seeds\) in /)
})

test('what nobody sees survives, and what was remarked is told', async t => {
  const blind = killer({ kind: 'survived', remark: 'b: failed once and then passed' })
  const trial = await tried(mutant, workshop(), { tests: [blind], simulations: [] })
  t.is(trial.fate, 'survived')
  t.regex(describe(trial), /^✘ a-mutant survived in .*\n {4}b: failed once and then passed$/)
})

test('a mutant that does not compile is set upon by nobody and killed by nobody', async t => {
  const spared = killer({ kind: 'killed', by: 'b: sees' })
  const trial = await tried(mutant, workshop('a.ts(1,1): error'), { tests: [spared], simulations: [spared] })
  t.like(trial, { fate: 'does not compile', remarks: ['a.ts(1,1): error'] })
  t.is(spared.attacks, 0)
  t.is(summary([trial]), '1 mutants: 0 killed, 0 survived, 1 did not compile')
})

test('the table escapes what would end a cell', async t => {
  const trial = await tried(mutant, workshop(), {
    tests: [killer({ kind: 'killed', by: 'b: sees' })],
    simulations: [],
  })
  t.is(markdown([trial]).split('\n')[2], '| `a-mutant` | this \\| or that | b: sees |  |')
})

function workshop(...complaints: string[]): Workshop {
  return { become: async () => complaints } as unknown as Workshop
}

function killer(attack: Attack = { kind: 'survived' }): Killer & { attacks: number } {
  return {
    name: 'a killer',
    attacks: 0,
    baseline: async () => undefined,
    async attack() {
      this.attacks += 1
      return attack
    },
  }
}
