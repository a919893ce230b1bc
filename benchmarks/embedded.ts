/**
 * The embedded etcd beside a real one: the same client, in turns, in one run. Puts and gets over a socket, each
 * server in a process of its own, and without one; then how long it takes with many keys and many watches.
 */

import { parseArgs } from 'node:util'
import { startEtcd as startHere } from '../src/embedded/index.ts'
import { connect, type Etcd, prefix } from '../src/index.ts'
import { commandLine } from '../test/support/command.ts'
import { startEtcd } from '../test/support/etcd-server.ts'

const ROUNDS = 5
const ROUND_MS = 1500
const IN_FLIGHT = 64
const KEYS = 100_000
const WATCHES = 10_000

// It takes none, and says so.
commandLine('usage: npm run bench:embedded', args => parseArgs({ args }))
const startedMs = performance.now()
await using here = await startHere()
console.log(`started in ${(performance.now() - startedMs).toFixed(0)} ms`)
await using real = await startEtcd({ series: '3.5' })
await using apart = await startEtcd({ series: 'embedded' })
await using toReal = await connect(real.endpoints)
await using toApart = await connect(apart.endpoints)
await using direct = await connect(here.endpoints, { transport: here.transport })

const operations = {
  put: (etcd: Etcd, worker: number) => etcd.put(`bench/${worker}`, 'value'),
  get: (etcd: Etcd, worker: number) => etcd.get(`bench/${worker}`),
}

console.log(
  `\nrequests per second to those of etcd ${real.binary.version}, ${IN_FLIGHT} in flight: median (least to most)`,
)
for (const [name, operation] of Object.entries(operations)) {
  const ratios = { 'over a socket': [] as number[], 'without one': [] as number[] }
  for (const etcd of [toReal, toApart, direct]) await rate(worker => operation(etcd, worker))
  for (let round = 0; round < ROUNDS; round++) {
    const theirs = await rate(worker => operation(toReal, worker))
    ratios['over a socket'].push((await rate(worker => operation(toApart, worker))) / theirs)
    ratios['without one'].push((await rate(worker => operation(direct, worker))) / theirs)
  }
  for (const [way, values] of Object.entries(ratios)) console.log(`${name} ${way}: ${spread(values)}`)
}

console.log('')
const keyOf = (index: number) => `many/${String(index).padStart(6, '0')}`
await timed(`${KEYS} puts`, () => each(KEYS, index => direct.put(keyOf(index), 'value')))
await timed(`1000 ranges of 10 keys of ${KEYS}`, () =>
  each(1000, () => direct.range(prefix('many/0'), { limit: 10 })),
)
const watches = Array.from({ length: WATCHES }, (_, index) => direct.watch(keyOf(index)))
await timed(`${WATCHES} watches created`, () => Promise.all(watches.map(({ ready }) => ready)))
const first = watches.map(watch => watch[Symbol.asyncIterator]().next())
await timed(`${WATCHES} events, each to its watch`, async () => {
  await each(WATCHES, index => direct.put(keyOf(index), 'again'))
  await Promise.all(first)
})

async function rate(request: (worker: number) => Promise<unknown>): Promise<number> {
  let done = 0
  const untilMs = performance.now() + ROUND_MS
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async (_, worker) => {
      for (; performance.now() < untilMs; done++) await request(worker)
    }),
  )
  return (done / ROUND_MS) * 1000
}

async function each(count: number, request: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      while (next < count) await request(next++)
    }),
  )
}

async function timed(what: string, work: () => Promise<unknown>): Promise<void> {
  const beganMs = performance.now()
  await work()
  console.log(`${what}: ${(performance.now() - beganMs).toFixed(0)} ms`)
}

function spread(values: number[]): string {
  const ordered = [...values].sort((one, other) => one - other)
  const [least, median, most] = [ordered[0]!, ordered[ordered.length >> 1]!, ordered.at(-1)!]
  return `${median.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`
}
