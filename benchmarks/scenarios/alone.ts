import { p50Below, type Scenario, type Setting } from '../support/scenario.ts'

/** What Go's client has no recipe for, under contention. */
export const alone: Scenario = {
  name: 'alone',
  about:
    'Several sessions of one client, held for no time: a semaphore with one permit, and sets of four locks taken together. From the release to the next owner.',
  sides: ['quorate'],
  settings: [semaphore(2), semaphore(8), lockAll(2), lockAll(8)],
}

function semaphore(sessions: number): Setting {
  return {
    label: `semaphore, ${sessions} sessions`,
    work: { cmd: 'semaphore', sessions, clients: 'one' },
    targets: [p50Below(10)],
  }
}

function lockAll(sessions: number): Setting {
  return {
    label: `four locks, ${sessions} sessions`,
    work: { cmd: 'lock-all', sessions, clients: 'one' },
    targets: [p50Below(10)],
  }
}
