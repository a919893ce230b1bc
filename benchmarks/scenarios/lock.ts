import { type Scenario, type Setting, timeAgainstGo } from '../support/scenario.ts'

/** A lock nobody contends for: what it costs to be careful. */
export const lock: Scenario = {
  name: 'lock',
  about: '`lock` and `unlock` of a free lock, one session, each worker a name of its own.',
  sides: ['quorate', 'go', 'bare'],
  settings: [{ ...inFlight(1), targets: [timeAgainstGo(1.7)] }, inFlight(16), inFlight(128)],
}

function inFlight(count: number): Setting {
  return { label: `${count} in flight`, work: { cmd: 'lock', inFlight: count }, targets: [] }
}
