import { exact } from './assumptions.ts'
import { checkers, checkHistory } from './check.ts'
import { goodHistory, NOTICE_MS } from './good-history.ts'
import type { History } from './history.ts'
import { truthOf } from './truth-of.ts'

/** `node measure.js`: how long the checkers take, for a history as simulations write them and for a long one. */
const assumptions = { ...exact, noticeMs: NOTICE_MS }

for (const { acquisitions, processes, rounds } of [
  { acquisitions: 100, processes: 6, rounds: 400 },
  { acquisitions: 220, processes: 6, rounds: 400 },
  { acquisitions: 4500, processes: 10, rounds: 10 },
]) {
  const histories = Array.from({ length: Math.min(rounds, 20) }, (_, seed) =>
    goodHistory(seed, { acquisitions, processes }),
  )
  const { length } = histories
  console.log(describe(histories[0]!))
  console.log(
    '  all',
    time(rounds, round => checkHistory(histories[round % length]!, assumptions)),
  )
  console.log(
    '  replay',
    time(rounds, round => truthOf(histories[round % length]!, assumptions)),
  )
  const truths = histories.map(history => truthOf(history, assumptions))
  for (const check of checkers) {
    const ms = time(rounds, round => check(histories[round % length]!, assumptions, truths[round % length]!))
    console.log(`  ${check.name}`, ms)
  }
}

function describe({ log, acquisitions, guardedWrites, writes, reads, watches }: History): string {
  const told = watches.reduce((sum, watched) => sum + watched.told.length, 0)
  return `${acquisitions.length} acquisitions, ${log.length} commits, ${guardedWrites.length} guarded writes, ${writes.length} writes, ${reads.length} reads, ${told} told`
}

/** The median, in milliseconds, when warm. */
function time(rounds: number, work: (round: number) => unknown): string {
  const times: number[] = []
  for (let round = 0; round < rounds * 2; round += 1) {
    const began = performance.now()
    work(round)
    if (round >= rounds) times.push(performance.now() - began)
  }
  times.sort((one, other) => one - other)
  return `${times[times.length >> 1]!.toFixed(3)} ms`
}
