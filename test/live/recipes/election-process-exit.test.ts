import test from 'ava'
import { useEtcd } from '../../support/live.ts'
import { doesNotKeepTheProcessAlive } from '../../traits/process-exit.ts'

const server = useEtcd(test)

for (const scene of ['elected', 'observing', 'leading', 'candidate']) {
  test(`a process that closed its client ends by itself: ${scene}`, async t => {
    await doesNotKeepTheProcessAlive(t, server(), 'process-exit-election', scene)
  })
}
