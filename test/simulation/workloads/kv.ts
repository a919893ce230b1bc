import type { KeyValue } from '../../../src/client/key-value.ts'
import { type Etcd, prefix } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { Change, Found } from '../../checkers/history.ts'
import type { Random } from '../random.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import { expected, inTime, untilOver } from './acting.ts'
import { outcomeOf } from './outcome.ts'
import { owedTo } from './owed.ts'
import { REQUEST_MS } from './standing.ts'

const KEYS = ['kv/a', 'kv/b', 'kv/c', 'kv/d']
/** Of all the keys above; `0` comes right after `/`. */
const RANGE = { from: 'kv/', to: 'kv0' }

/** Processes that write, delete, read and watch the same few keys. */
export const kvWorkload: Workload = {
  name: 'kv',
  lines: () => [],
  deeds: { called: 'reads and writes', enough: 100 },
  // Nobody has a session.
  spared: new Set(['lease-ends-at-deadline']),
  actor: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) return
    const random = stage.world.random.fork(`actor ${process.name}`)
    const writers = Array.from({ length: 2 }, (_, index) =>
      writer(etcd, { process, stage, random: random.fork(`writer ${index}`) }),
    )
    await Promise.all([...writers, watcher(etcd, { process, stage, random: random.fork('watcher') })])
    await etcd.close()
  },
  afterwards: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) throw new Error('a healed cluster could not be reached')
    await etcd.put('kv/last', 'word')
    await etcd.close()
  },
}

interface Scene {
  readonly process: SimulatedProcess
  readonly stage: Stage
  readonly random: Random
}

async function writer(etcd: Etcd, { process, stage, random }: Scene): Promise<void> {
  for (let count = 0; !stage.isOver; count++) {
    await pause(process, random.exponential(700))
    if (stage.isOver) return
    const key = random.pick(KEYS)
    const kind = random.next()
    if (kind < 0.5)
      await put(etcd, { process, stage }, key, `${process.name}-${process.world.nowMs}-${count}`)
    else if (kind < 0.6) await remove(etcd, { process, stage }, key)
    else if (kind < 0.8) await get(etcd, { process, stage }, key)
    else await list(etcd, { process, stage })
  }
}

type Cast = Pick<Scene, 'process' | 'stage'>

async function put(etcd: Etcd, cast: Cast, key: string, value: string): Promise<void> {
  const { process, stage } = cast
  const write = stage.recorder.write(process, { key, value })
  try {
    write.settle('ok', {
      revision: (await inTime(cast, REQUEST_MS, 'put', () => etcd.put(key, value))).revision,
    })
  } catch (error) {
    write.settle(outcomeOf(error))
    expected(stage, error, 'put')
  }
}

async function remove(etcd: Etcd, cast: Cast, key: string): Promise<void> {
  const { process, stage } = cast
  const write = stage.recorder.write(process, { key, value: undefined })
  try {
    write.settle('ok', {
      revision: (await inTime(cast, REQUEST_MS, 'delete', () => etcd.delete(key))).revision,
    })
  } catch (error) {
    write.settle(outcomeOf(error))
    expected(stage, error, 'delete')
  }
}

async function get(etcd: Etcd, cast: Cast, key: string): Promise<void> {
  const { process, stage } = cast
  const read = stage.recorder.read(process, { from: key })
  try {
    const { kvs, revision } = await inTime(cast, REQUEST_MS, 'get', () => etcd.range(key))
    read.settle('ok', { revision, found: kvs.map(foundOf) })
  } catch (error) {
    read.settle('failed')
    expected(stage, error, 'get')
  }
}

async function list(etcd: Etcd, cast: Cast): Promise<void> {
  const { process, stage } = cast
  const read = stage.recorder.read(process, RANGE)
  try {
    const { kvs, revision } = await inTime(cast, REQUEST_MS, 'range', () => etcd.range(prefix(RANGE.from)))
    read.settle('ok', { revision, found: kvs.map(foundOf) })
  } catch (error) {
    read.settle('failed')
    expected(stage, error, 'range')
  }
}

/** Watches from some revision on; when history is compacted away, starts over from everything there is. */
async function watcher(etcd: Etcd, scene: Scene): Promise<void> {
  const { process, stage, random } = scene
  while (!stage.isOver) {
    const since = await startOf(etcd, scene)
    if (since === undefined) continue
    const record = stage.recorder.watch(process, { ...RANGE, since })
    const beganAt = stage.world.nowMs
    const leave = new AbortController()
    // Even a watcher that could go on for ever begins anew now and then.
    const timer = process.setTimer(random.exponential(15_000), () => leave.abort(new Error('enough watched')))
    const stop = untilOver(process, stage, () => leave.abort(new Error('the play is over')))
    try {
      const watch = etcd.watch(prefix(RANGE.from), { from: since, signal: leave.signal })
      for await (const { revision, events } of watch.revisions()) {
        record.told({
          kind: 'changes',
          revision,
          changes: events.map(event => (event.type === 'put' ? putOf(event.kv) : deletionOf(event.key))),
        })
        // Some readers are slow.
        if (random.chance(0.1)) await pause(process, random.exponential(200))
      }
    } catch (error) {
      if (!leave.signal.aborted) expected(stage, error, 'watch')
      else record.left(owedTo(stage, process, beganAt))
    } finally {
      timer.cancel()
      stop()
    }
  }
}

async function startOf(etcd: Etcd, { process, stage, random }: Scene): Promise<bigint | undefined> {
  try {
    const { revision } = await inTime({ process, stage }, REQUEST_MS, 'range', () =>
      etcd.range(prefix(RANGE.from)),
    )
    const back = BigInt(random.integer(0, 20))
    return random.chance(0.5) || revision <= back ? revision + 1n : revision - back
  } catch (error) {
    expected(stage, error, 'range')
    await pause(process, 100)
    return undefined
  }
}

function foundOf({ key, value, createRevision, modRevision, version }: KeyValue): Found {
  return {
    key: mapKey(key),
    value: Buffer.from(value).toString('latin1'),
    createRevision,
    modRevision,
    version,
  }
}

function putOf({ key, value, createRevision, version, lease }: KeyValue): Change {
  return {
    kind: 'put',
    key: mapKey(key),
    value: Buffer.from(value).toString('latin1'),
    createRevision,
    version,
    lease,
  }
}

function deletionOf(key: Uint8Array): Change {
  return { kind: 'delete', key: mapKey(key) }
}
