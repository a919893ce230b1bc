import type { JointHold } from '../../../src/index.ts'
import type { Workload } from '../stage.ts'
import { lockWorkload, type Wanted } from './locking.ts'

const NAMES = Array.from({ length: 5 }, (_, index) => `sets/${index}`)

/** Sets of locks that overlap at random, and single ones among them. */
export const lockAllWorkload: Workload = lockWorkload<JointHold>({
  name: 'lock-all',
  prefixes: () => NAMES.map(name => `${name}/`),
  wanted: random => {
    const names = NAMES.filter(() => random.chance(0.35))
    const some = names.length === 0 ? [random.pick(NAMES)] : names
    return wantedOf(
      random.chance(0.5) ? some : some.toReversed(),
      random.chance(0.15) ? 'tryLockAll' : 'lockAll',
    )
  },
  again: ({ names }) => wantedOf(names, 'lockAll'),
  each: () => [wantedOf(NAMES, 'lockAll')],
})

function wantedOf(names: readonly string[], how: 'lockAll' | 'tryLockAll'): Wanted<JointHold> {
  return { names, tries: how === 'tryLockAll', take: (session, signal) => session[how](names, { signal }) }
}
