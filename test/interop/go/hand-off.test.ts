import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { connect } from '../../../src/index.ts'
import { goPeer, type PeerEvent, PeerProcess } from '../../support/go-peer.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'

const worker = fileURLToPath(new URL('./lock-worker.js', import.meta.url))
const etcd = useEtcd(test)

interface Acquisition {
  readonly owner: number
  readonly token: bigint
  readonly fromNs: bigint
  /** Said before the key is deleted: the next owner can only be told later. */
  readonly untilNs: bigint
}

const wanted = Number(process.env.QUORATE_INTEROP_HANDOFFS ?? 200)

test(`${wanted} hand-offs among Go and Node processes never overlap, and tokens rise across all of them`, async t => {
  t.timeout(300_000)
  const peer = await goPeer()
  const { endpoint } = etcd()
  const name = `${uniquePrefix(t)}lock`
  const guard = `${name}-guard`
  const processCount = 5
  // A little more than asked for: at the very end the last process has nobody to hand over to.
  const rounds = Math.ceil(wanted / processCount) + 2

  await using client = await connect(endpoint)
  await using session = await client.session()
  const gate = await session.mutex(name).lock()
  const go = [1, 2].map(() => peer.start('lock-loop', { endpoint, name, rounds, guard, pause: '0s' }))
  const node = [1, 2, 3].map(() => startNode({ endpoint, name, rounds, guard }))
  const processes = [...go, ...node]
  t.teardown(() => Promise.all(processes.map(process => process.kill())))

  // All of them stand in line before the first may go, so that none runs through alone.
  while ((await client.mutex(name).waiters()).length < processCount);
  const gateToken = gate.fencingToken
  await gate.unlock()
  for (const process of processes) t.like(await process.exited, { code: 0 })

  const acquisitions = processes
    .flatMap((process, owner) => acquisitionsOf(process.events, owner))
    .sort((one, other) => (one.fromNs < other.fromNs ? -1 : 1))
  t.is(acquisitions.length, processCount * rounds)
  let previousToken = gateToken
  let handOffs = 0
  let acrossLanguages = 0
  for (const [index, { owner, token, fromNs }] of acquisitions.entries()) {
    if (token <= previousToken) t.fail(`token ${token} after ${previousToken}`)
    previousToken = token
    const before = acquisitions[index - 1]
    if (before === undefined) continue
    if (before.untilNs > fromNs) t.fail(`token ${token} was given out while ${before.token} was still held`)
    if (before.owner !== owner) handOffs += 1
    if (before.owner < go.length !== owner < go.length) acrossLanguages += 1
  }
  t.true(handOffs >= wanted, `${handOffs} hand-offs`)
  t.true(
    acrossLanguages >= wanted / processCount,
    `${acrossLanguages} of them from one language to the other`,
  )
  t.is((await client.get(guard))?.text(), 'free')
  t.is(await client.mutex(name).holder(), undefined)
})

test('a Node process that finds another inside says so and fails', async t => {
  const { endpoint } = etcd()
  const name = `${uniquePrefix(t)}lock`
  await using client = await connect(endpoint)
  await client.put(`${name}-guard`, 'busy:somebody')
  const process = startNode({ endpoint, name, rounds: 1, guard: `${name}-guard` })
  t.is((await process.next('overlap')).guard, 'busy:somebody')
  t.like(await process.exited, { code: 3 })
})

function startNode(flags: Readonly<Record<string, string | number>>): PeerProcess {
  const args = Object.entries(flags).map(([flag, value]) => `-${flag}=${value}`)
  return new PeerProcess(spawn(process.execPath, [worker, ...args], { stdio: ['pipe', 'pipe', 'inherit'] }))
}

function acquisitionsOf(events: readonly PeerEvent[], owner: number): Acquisition[] {
  const ends = events.filter(({ event }) => event === 'releasing')
  return events
    .filter(({ event }) => event === 'acquired')
    .map(({ ns, token }, index) => ({
      owner,
      token: BigInt(token!),
      fromNs: BigInt(ns),
      untilNs: BigInt(ends[index]!.ns),
    }))
}
