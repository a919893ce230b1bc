import { p99Below, rateAgainstGo, type Scenario, type Setting } from '../support/scenario.ts'

/** A contended lock that goes from session to session, held for no time. */
export const handOff: Scenario = {
  name: 'hand-off',
  about:
    'One lock, several sessions, held for no time. From `unlock` to the next owner; a change of owner counts.',
  sides: ['quorate', 'go'],
  settings: [
    ofOneClient(2, 20),
    ofOneClient(8, 20),
    ofOneClient(32, 5),
    withAClientEach(2),
    withAClientEach(8),
    withAClientEach(32, 2),
  ],
}

function ofOneClient(sessions: number, times: number): Setting {
  return {
    label: `${sessions} sessions of one client`,
    work: { cmd: 'hand-off', sessions, clients: 'one' },
    targets: [rateAgainstGo(times), p99Below(10)],
  }
}

function withAClientEach(sessions: number, times?: number): Setting {
  return {
    label: `${sessions} sessions, a client each`,
    work: { cmd: 'hand-off', sessions, clients: 'each' },
    targets: times === undefined ? [] : [rateAgainstGo(times)],
  }
}
