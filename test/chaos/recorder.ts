/**
 * Watches every key from the first revision on, on each member by itself, and writes each commit down when the
 * first of them tells of it, one per line. What it writes is the truth the histories of the others are held
 * against: three members that are watched apart cannot all be late, and must not tell different things. Its
 * config is JSON in its only argument.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, EtcdError, everything, type WatchedRevision } from '../../src/index.ts'
import type { Change } from '../checkers/history.ts'
import { sharedNowMs } from './clock.ts'
import { encode } from './journal.ts'
import type { FromRecorder, RecorderConfig, ToRecorder } from './messages.ts'

/** What fills the database to its quota is not worth keeping. */
const LONGEST_VALUE = 4096
/** How many commits a member may be behind and still be compared with the others. */
const COMPARED = 20_000

const config = JSON.parse(process.argv[2] ?? '{}') as RecorderConfig
const file = openSync(config.file, 'a')
const leaving = new AbortController()
const told = new Map<bigint, string>()
let recorded = 0n

process.on('message', message => {
  if ((message as ToRecorder).kind === 'recorded?') say({ kind: 'recorded', revision: recorded })
  else leaving.abort()
})
process.on('disconnect', () => leaving.abort())
const listening = config.endpoints.map(endpoint => listen(endpoint))
say({ kind: 'recorded', revision: recorded })
await Promise.all(listening)
closeSync(file)
if (process.connected) process.disconnect()

async function listen(endpoint: string): Promise<void> {
  const { signal } = leaving
  let next = 1n
  while (!signal.aborted) {
    try {
      await using etcd = await connect(endpoint, { connectTimeoutMs: 60_000, signal })
      etcd.on('warning', () => {})
      while (!signal.aborted) {
        try {
          for await (const revision of etcd.watch(everything, { from: next, signal }).revisions()) {
            note(endpoint, revision)
            next = revision.revision + 1n
          }
        } catch (error) {
          if (!EtcdError.is(error, 'COMPACTED')) throw error
          // This member was behind what the others had told already, and only that far is compacted.
          next = recorded + 1n
        }
      }
    } catch (error) {
      if (signal.aborted) return
      say({ kind: 'trouble', what: `the recorder on ${endpoint} was cut off at ${next}: ${error}` })
      await sleep(200)
    }
  }
}

function note(endpoint: string, { revision, events }: WatchedRevision): void {
  const changes = JSON.stringify(events.map(changeOf), encode)
  if (revision <= recorded) {
    const known = told.get(revision)
    if (known !== undefined && known !== changes) {
      say({
        kind: 'trouble',
        what: `members differ at ${revision}: ${endpoint} tells ${changes}, not ${known}`,
      })
    }
    return
  }
  if (revision !== recorded + 1n && recorded !== 0n) {
    say({ kind: 'trouble', what: `${endpoint} left out what is between ${recorded} and ${revision}` })
  }
  writeSync(
    file,
    `{"revision":${JSON.stringify(encode('', revision))},"at":${sharedNowMs()},"changes":${changes}}\n`,
  )
  recorded = revision
  told.set(revision, changes)
  told.delete(revision - BigInt(COMPARED))
}

function changeOf(event: WatchedRevision['events'][number]): Change {
  if (event.type === 'delete') return { kind: 'delete', key: latin1(event.key) }
  const { key, value, createRevision, version, lease } = event.kv
  const text = value.length > LONGEST_VALUE ? `${value.length} bytes` : Buffer.from(value).toString()
  return { kind: 'put', key: latin1(key), value: text, createRevision, version, lease }
}

function latin1(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1')
}

function say(message: FromRecorder): void {
  process.send?.(message)
}
