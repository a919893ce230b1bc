import test from 'ava'
import { useEtcd } from '../../support/live.ts'
import { doesNotKeepTheProcessAlive } from '../../traits/process-exit.ts'

const server = useEtcd(test)

for (const scene of ['rw-mutex', 'semaphore', 'lock-all', 'options']) {
  test(`a process that closed its client ends by itself, whoever held or waited: ${scene}`, async t => {
    await doesNotKeepTheProcessAlive(t, server(), 'process-exit-locks', scene)
  })
}
