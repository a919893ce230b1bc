import test from 'ava'
import { useEtcd } from '../../support/live.ts'
import { doesNotKeepTheProcessAlive } from '../../traits/process-exit.ts'

const server = useEtcd(test)

test('waits at barriers and latches do not keep a process alive that closed its client', async t => {
  await doesNotKeepTheProcessAlive(t, server(), 'barrier-exit')
})
