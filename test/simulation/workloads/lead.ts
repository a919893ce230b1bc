import { type Etcd, EtcdError, type Term } from '../../../src/index.ts'
import { SessionCore } from '../../../src/session/session-core.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { Random } from '../random.ts'
import type { OpenAcquisition } from '../recorder.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import {
  closeSession,
  codeOf,
  expected,
  guardedWrite,
  inTime,
  lossOf,
  openSession,
  releaseMs,
  untilOver,
} from './acting.ts'
import { REQUEST_MS, standing } from './standing.ts'

/**
 * Processes that lead whenever they can, resign, fail, hand over and are stopped, with all kinds of priorities, and
 * now and then stand in the line of the leaders itself, as programs in other languages do.
 */
export const leadWorkload: Workload = {
  name: 'lead',
  deeds: { called: 'terms', enough: 100 },
  lines: ({ lines }) => Array.from({ length: lines }, (_, index) => `${leadName(index)}/`),
  actor: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) return
    recordSessions(etcd, process, stage)
    const random = stage.world.random.fork(`actor ${process.name}`)
    const roles = Array.from({ length: stage.plan.lines }, (_, index) =>
      role(etcd, { process, stage, random: random.fork(`role ${index}`) }, leadName(index)),
    )
    const outsiders = Array.from({ length: stage.plan.lines }, (_, index) =>
      outsider(etcd, { process, stage, random: random.fork(`outsider ${index}`) }, leadName(index)),
    )
    await Promise.all([...roles, ...outsiders])
    await etcd.close()
  },
  afterwards: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) throw new Error('a healed cluster could not be reached')
    for (let index = 0; index < stage.plan.lines; index++) {
      const led = new AbortController()
      await etcd.lead(leadName(index), () => led.abort(), { signal: led.signal, ttl: 5 })
    }
    await etcd.close()
  },
}

/** Also those that `lead()` has for itself: whatever the client is to close with itself comes by here. */
function recordSessions(etcd: Etcd, process: SimulatedProcess, stage: Stage): void {
  const attach = etcd.attach.bind(etcd)
  etcd.attach = resource => {
    attach(resource)
    if (resource instanceof SessionCore) stage.recorder.session(process, resource)
  }
}

interface Scene {
  readonly process: SimulatedProcess
  readonly stage: Stage
  readonly random: Random
}

/** Leads again and again, each time with other options. */
async function role(etcd: Etcd, scene: Scene, name: string): Promise<void> {
  const { process, stage, random } = scene
  while (!stage.isOver) {
    const leaving = new AbortController()
    const timer = process.setTimer(random.exponential(12_000), () => leaving.abort(new Error('enough')))
    const stop = untilOver(process, stage, () => leaving.abort(new Error('the play is over')))
    let running = 0
    /** From when it stands for election until it leads. */
    let acquisition: OpenAcquisition | undefined
    let isWell = true
    try {
      await etcd.lead(
        name,
        async term => {
          running += 1
          if (running > 1) stage.unexpected(new Error('two terms of one process at once'), name)
          if (random.chance(0.1)) isWell = false
          try {
            const granted = acquisition
            acquisition = undefined
            if (granted === undefined) stage.unexpected(new Error('it leads and did not stand for it'), name)
            else await reign(scene, term, granted)
          } finally {
            running -= 1
          }
        },
        {
          signal: leaving.signal,
          ttl: stage.plan.ttl,
          owner: process.name,
          priority: random.integer(0, 2),
          preempt: random.chance(0.5) ? 'gracefully' : 'never',
          stabilizationMs: 500,
          gracePeriodMs: random.pick([0, 50, 1000]),
          backoff: { initialMs: 50, maxMs: 1000 },
          healthy: () => {
            const was = isWell
            isWell = true
            return was
          },
          healthyEveryMs: 400,
          onState: ({ kind }) => {
            if (kind === 'campaigning') acquisition ??= stage.recorder.acquisition(process, `${name}/`)
          },
        },
      )
      if (running > 0) stage.unexpected(new Error('it resolved before its function had settled'), name)
    } catch (error) {
      expected(stage, error, 'lead')
    } finally {
      acquisition?.settle('failed')
      timer.cancel()
      stop()
    }
    if (!stage.isOver) await pause(process, random.exponential(500))
  }
}

/** Campaigns for itself, leads for a moment and resigns. */
async function outsider(etcd: Etcd, scene: Scene, name: string): Promise<void> {
  const { process, stage, random } = scene
  while (!stage.isOver) {
    await pause(process, random.between(0, 20_000))
    if (stage.isOver) return
    const session = await openSession(etcd, process, stage)
    if (session === undefined) continue
    const acquisition = stage.recorder.acquisition(process, `${name}/`)
    const leaving = new AbortController()
    const stop = untilOver(process, stage, () => leaving.abort(new Error('the play is over')))
    try {
      const leadership = await standing({ process, stage, session }, [`${name}/`], () =>
        session.election(name).campaign('an outsider', { signal: leaving.signal }),
      )
      const { belief } = acquisition
      acquisition.settle('ok', { key: mapKey(leadership.key), token: leadership.fencingToken })
      const look = () => {
        if (!leadership.held) belief.end(lossOf(leadership))
      }
      look()
      if (leadership.signal.aborted) belief.end(codeOf(leadership.signal.reason))
      leadership.signal.addEventListener('abort', () => belief.end(codeOf(leadership.signal.reason)), {
        once: true,
      })
      const stopLooking = process.onGoingOn(look)
      await pause(process, random.exponential(200))
      look()
      if (random.chance(0.3)) await guardedWrite({ process, stage, handle: leadership, acquisition })
      look()
      belief.end()
      stopLooking()
      await inTime(scene, releaseMs(stage), 'resign', () => leadership.resign())
    } catch (error) {
      acquisition.settle('failed')
      if (!leaving.signal.aborted) expected(stage, error, 'campaign')
    } finally {
      stop()
      await closeSession({ process, stage, session })
    }
  }
}

/** One term: works for a while, or until it is told to stop, and then still takes its time. */
async function reign(scene: Scene, term: Term, acquisition: OpenAcquisition): Promise<void> {
  const { process, stage, random } = scene
  const { belief } = acquisition
  acquisition.settle('ok', { key: mapKey(term.key), token: term.fencingToken })
  const look = () => {
    if (!term.held) belief.end(lossOf(term))
  }
  look()
  const stopLooking = process.onGoingOn(look)
  // Also told while it still leads and is to put things in order: from then on it does not rely on it.
  const told = () => (term.held ? belief.end() : belief.end(codeOf(term.signal.reason)))
  if (term.signal.aborted) told()
  term.signal.addEventListener('abort', told, { once: true })
  try {
    const slices = random.integer(1, 4)
    for (let slice = 0; slice < slices && term.held; slice++) {
      await pause(process, random.exponential(150))
      look()
      if (random.chance(0.3))
        await inTime(scene, REQUEST_MS, 'proclaim', () =>
          term.proclaim(`${process.name} ${acquisition.id}.${slice}`),
        ).catch(error => expected(stage, error, 'proclaim'))
      if (random.chance(0.3)) await guardedWrite({ process, stage, handle: term, acquisition })
      if (random.chance(0.1))
        await inTime(scene, REQUEST_MS, 'transfer', () =>
          term.transfer({ owner: `p${random.integer(1, stage.plan.processes)}` }),
        ).catch(error => expected(stage, error, 'transfer'))
      look()
      if (term.signal.aborted) break
    }
    if (random.chance(0.05)) throw new EtcdError('UNKNOWN', 'a function that fails', { outcome: 'rejected' })
  } finally {
    stopLooking()
    belief.end()
  }
}

function leadName(index: number): string {
  return `leads/${index}`
}
