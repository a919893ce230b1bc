import {
  rateAgainstGo,
  type Scenario,
  type Setting,
  type Target,
  timeAgainstGo,
} from '../support/scenario.ts'

/** Transactions that read a number and write the next one. */
export const stm: Scenario = {
  name: 'stm',
  about:
    'A transaction that reads a key and writes the next number into it, by workers on one client: one key each, or one hot key for all.',
  sides: ['quorate', 'go', 'etcd3'],
  settings: [
    setting(1, 'each', timeAgainstGo(1.7)),
    setting(16, 'each'),
    setting(64, 'each', rateAgainstGo(1.5)),
    setting(16, 'one', rateAgainstGo(5)),
    setting(64, 'one', rateAgainstGo(20)),
  ],
}

function setting(inFlight: number, keys: 'one' | 'each', ...targets: readonly Target[]): Setting {
  const label = keys === 'one' ? `${inFlight} on one key` : `${inFlight} on keys of their own`
  return { label, work: { cmd: 'stm', inFlight, keys }, targets }
}
