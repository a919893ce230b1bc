/**
 * A process that uses the library as a user would, and writes down what it was told. Started by `fork` with its
 * config as JSON in its only argument; it works when told to, and ends by itself when told to leave.
 */
import { connect, type Session } from '../../src/index.ts'
import { Chance } from './chance.ts'
import type { Footprint, FromWorker, ToWorker, WorkerConfig } from './messages.ts'
import { Shift, type Worker } from './work/shift.ts'
import { whatWentWrong } from './work/what-went-wrong.ts'

const config = JSON.parse(process.argv[2] ?? '{}') as WorkerConfig
const etcd = await connect(config.endpoints, { connectTimeoutMs: 120_000 })
etcd.on('warning', () => {})

const { name, place } = config
const self: Worker = { name, place, etcd, chance: new Chance(config.seed), session: sharedSession }
let hasLeft = false
let session: Session | undefined
let shift: Shift | undefined
process.on('message', message => void obey(message as ToWorker))
// Whoever gave the orders is gone: nobody else would end this.
process.on('disconnect', () => {
  if (!hasLeft) process.exit(1)
})
say({ kind: 'ready' })

async function obey(message: ToWorker): Promise<void> {
  try {
    switch (message.kind) {
      case 'work':
        shift = new Shift(self, message.round)
        return
      case 'rest':
        await shift?.rest()
        return say({ kind: 'rested' })
      case 'end':
        await shift?.end(message.revision)
        return say({ kind: 'ended', footprint: footprint() })
      case 'leave':
        await etcd.close()
        hasLeft = true
        say({ kind: 'left' })
        // Without the channel nothing is left that would keep the process alive.
        return process.disconnect()
    }
  } catch (error) {
    say({ kind: 'trouble', what: `${config.name}: ${whatWentWrong(error)}` })
  }
}

/** The session all tasks share; a new one once it is lost. */
async function sharedSession(): Promise<Session> {
  if (session !== undefined && session.state !== 'lost') return session
  return openOnce()
}

let opening: Promise<Session> | undefined

function openOnce(): Promise<Session> {
  opening ??= open().finally(() => {
    opening = undefined
  })
  return opening
}

async function open(): Promise<Session> {
  session = await etcd.session({ ttl: config.ttl })
  return session
}

function footprint(): Footprint {
  globalThis.gc?.()
  return { heapBytes: process.memoryUsage().heapUsed, handles: process.getActiveResourcesInfo().length }
}

function say(message: FromWorker): void {
  process.send?.(message)
}
