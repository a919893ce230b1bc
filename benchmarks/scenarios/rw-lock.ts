import { rateAgainstGo, type Scenario, type Setting, timeAgainstGo } from '../support/scenario.ts'

/** A read-write lock, beside the experimental one of etcd's Go client. */
export const rwLock: Scenario = {
  name: 'rw-lock',
  about:
    '`readLock` and `unlock` where nobody writes, each worker a name of its own; and one lock to write, several sessions, held for no time, from `unlock` to the next owner.',
  sides: ['quorate', 'go'],
  settings: [
    { ...reading(1), targets: [timeAgainstGo(1.7)] },
    reading(16),
    { ...writing(2), targets: [rateAgainstGo(1)] },
    { ...writing(8), targets: [rateAgainstGo(1)] },
  ],
}

function reading(count: number): Setting {
  return { label: `${count} reading`, work: { cmd: 'read-lock', inFlight: count }, targets: [] }
}

function writing(sessions: number): Setting {
  return {
    label: `${sessions} sessions to write, of one client`,
    work: { cmd: 'write-lock', sessions, clients: 'one' },
    targets: [],
  }
}
