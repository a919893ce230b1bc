import test from 'ava'
import type { ReadWriteHold } from '../../../src/index.ts'
import { useEtcd } from '../../support/live.ts'
import { type Recipe, traitsOf } from '../../traits/handle.ts'

const server = useEtcd(test)

const writeLock: Recipe<ReadWriteHold> = {
  called: 'write lock',
  acquire: (session, name, options) => session.rwMutex(name).writeLock(options),
  release: hold => hold.unlock(),
  keys: 'many',
  roundTrips: { acquire: 1, release: 1, handOff: 0 },
}

for (const { title, exec } of traitsOf(writeLock, server)) test(title, exec)
