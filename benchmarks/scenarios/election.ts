import { p50Below, rateAgainstGo, type Scenario, type Setting } from '../support/scenario.ts'

/** A contended leadership that goes from session to session, kept for no time. */
export const election: Scenario = {
  name: 'election',
  about:
    'One election, several sessions, each resigning at once. From `resign` to the next leader; a change of leader counts.',
  sides: ['quorate', 'go'],
  settings: [
    ofOneClient(2, 20),
    ofOneClient(8, 20),
    ofOneClient(32),
    withAClientEach(2, 20),
    withAClientEach(8),
  ],
}

function ofOneClient(sessions: number, times?: number): Setting {
  return {
    label: `${sessions} sessions of one client`,
    work: { cmd: 'election', sessions, clients: 'one' },
    targets: times === undefined ? [] : [rateAgainstGo(times), p50Below(3)],
  }
}

function withAClientEach(sessions: number, times?: number): Setting {
  return {
    label: `${sessions} sessions, a client each`,
    work: { cmd: 'election', sessions, clients: 'each' },
    targets: times === undefined ? [] : [rateAgainstGo(times), p50Below(3)],
  }
}
