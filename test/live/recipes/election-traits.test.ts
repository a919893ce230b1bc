import test from 'ava'
import type { Leadership } from '../../../src/index.ts'
import { useEtcd } from '../../support/live.ts'
import { type Recipe, traitsOf } from '../../traits/handle.ts'

const server = useEtcd(test)

const election: Recipe<Leadership> = {
  called: 'election',
  acquire: (session, name, options) => session.election(name).campaign('me', options),
  release: leadership => leadership.resign(),
  roundTrips: { acquire: 1, release: 1, handOff: 0 },
}

for (const { title, exec } of traitsOf(election, server)) test(title, exec)
