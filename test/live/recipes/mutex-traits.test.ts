import test from 'ava'
import type { Hold } from '../../../src/index.ts'
import { useEtcd } from '../../support/live.ts'
import { type Recipe, traitsOf } from '../../traits/handle.ts'

const server = useEtcd(test)

const mutex: Recipe<Hold> = {
  called: 'mutex',
  acquire: (session, name, options) => session.mutex(name).lock(options),
  release: hold => hold.unlock(),
  roundTrips: { acquire: 1, release: 1, handOff: 0 },
}

for (const { title, exec } of traitsOf(mutex, server)) test(title, exec)
