import type { Engine } from '../../src/client/engine.ts'
import { part } from '../../src/client/response-part.ts'
import type { WatchSink } from '../../src/client/watcher.ts'
import { onAbort } from '../../src/support/abort.ts'
import { sleep } from '../../src/support/bounded.ts'
import { prefixEnd } from '../../src/wire/bytes.ts'
import type { Init } from '../../src/wire/codec.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import { type RangeResponse, type RequestOp, SortOrder, SortTarget } from '../../src/wire/gen/rpc.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { type Entry, entryOf } from './entry.ts'
import { type LineReading, lineRange, lineReading } from './line-reading.ts'
import { placeGone, placeTaken } from './place.ts'
import type { Rule } from './rule.ts'
import { isFinal } from './trouble.ts'

const AGAIN_MS = 500
const NO_END = new Uint8Array(0)

export interface FarPlace {
  readonly engine: Engine
  readonly prefix: Uint8Array
  readonly values: Rule['values']
  readonly mine: Entry
  readonly ttlMs: number
  /** Ends the wait, with its reason. */
  readonly signal: AbortSignal
}

/**
 * Waits far back in a line until few enough are ahead to follow them one by one; resolves with the line as it
 * then stands. Meanwhile only the predecessor and our own key are watched, so a release costs somebody far back
 * nothing, and the departure of the predecessor one request.
 */
export async function approach(place: FarPlace): Promise<LineReading> {
  let atLeast = 0n
  for (;;) {
    try {
      const { line, predecessor } = await lookAround(place, atLeast)
      if (!line.truncated || line.entries.some(({ name }) => name === place.mine.name)) return line
      // Nobody before us although the head of the line is full of others: it moved while it was read; look again.
      atLeast = predecessor === undefined ? line.revision : await untilMoved(place, predecessor)
    } catch (error) {
      if (!EtcdError.is(error) || isFinal(error)) throw error
      await sleep(place.engine.runtime, AGAIN_MS, place.signal)
      place.signal.throwIfAborted()
    }
  }
}

interface Surroundings {
  readonly line: LineReading
  readonly predecessor: Entry | undefined
}

/** The head of the line, our own place and the one right before it, at one revision. One round trip. */
async function lookAround(
  { engine, prefix, values, mine, signal }: FarPlace,
  atLeast: bigint,
): Promise<Surroundings> {
  const response = await engine.submitter.submit({
    method: methods.txn,
    request: {
      success: [
        rangeOp(mine),
        { request: { kind: 'range', value: lineRange(prefix, values) } },
        {
          request: {
            kind: 'range',
            value: {
              key: prefix,
              rangeEnd: prefixEnd(prefix),
              sortOrder: SortOrder.descend,
              sortTarget: SortTarget.createRevision,
              maxCreateRevision: mine.createRevision - 1n,
              limit: 1n,
              keysOnly: true,
            },
          },
        },
      ],
    },
    footprint: { reads: [{ key: prefix, end: prefixEnd(prefix) }], writes: [] },
    repeat: 'read',
    consistency: 'linearizable',
    atLeast,
    signal,
  })
  const revision = response.header?.revision ?? 0n
  const [own, line, before] = response.responses.map(answer => part(answer, 'range'))
  assertMine(mine, own!, revision)
  const predecessor = before!.kvs[0]
  return {
    line: lineReading(line!, revision),
    predecessor: predecessor === undefined ? undefined : entryOf(predecessor),
  }
}

function assertMine(mine: Entry, { kvs }: RangeResponse, revision: bigint): void {
  const found = kvs[0]
  if (found?.createRevision !== mine.createRevision) throw placeGone(mine, revision)
  if (found.lease !== mine.lease) throw placeTaken(mine)
}

/**
 * Resolves when it is time to look again: the predecessor is gone, a watch broke, or two TTLs have passed
 * without a word. With the revision the next look must not be older than.
 */
function untilMoved(place: FarPlace, predecessor: Entry): Promise<bigint> {
  const { engine, mine, ttlMs, signal } = place
  return new Promise((resolve, reject) => {
    const finish = () => {
      timer.cancel()
      stopListening()
      for (const watch of watches) watch.cancel()
    }
    const moved = (revision: bigint) => {
      finish()
      resolve(revision)
    }
    const over = (reason: unknown) => {
      finish()
      reject(reason)
    }
    const opened = new Set<Entry>()
    let atLeast = 0n
    const sinkOf = (entry: Entry): WatchSink => ({
      opened: revision => {
        opened.add(entry)
        if (revision > atLeast) atLeast = revision
        if (opened.size < 2) return
        // What was deleted before the watches began is found by a read from after that.
        readBoth(place, predecessor, atLeast).then(revision => {
          if (revision !== undefined) moved(revision)
        }, over)
      },
      revision: revision => {
        if (revision <= entry.createRevision) return
        if (entry === mine) over(placeGone(mine, revision))
        else moved(revision)
      },
      broken: () => moved(0n),
      ended: (error: EtcdError) => over(error),
    })
    let stopListening = () => {}
    const watches = [mine, predecessor].map(entry =>
      engine.recipeWatches.watch(
        { key: entry.key, rangeEnd: NO_END, filter: 'no-puts', onBreak: 'restart' },
        sinkOf(entry),
      ),
    )
    const timer = engine.runtime.setTimer(2 * ttlMs, () => moved(0n)).unref()
    // May call at once: between two requests nobody listens.
    stopListening = onAbort(signal, over)
  })
}

/** The revision at which the predecessor was seen to be gone; undefined while it is there. Rejects if we are. One round trip. */
async function readBoth(
  { engine, mine, signal }: FarPlace,
  predecessor: Entry,
  atLeast: bigint,
): Promise<bigint | undefined> {
  const response = await engine.submitter.submit({
    method: methods.txn,
    request: {
      success: [rangeOp(mine), rangeOp(predecessor)],
    },
    footprint: { reads: [mine, predecessor].map(({ key }) => ({ key, end: NO_END })), writes: [] },
    repeat: 'read',
    consistency: 'linearizable',
    atLeast,
    signal,
  })
  const revision = response.header?.revision ?? 0n
  const [own, before] = response.responses.map(answer => part(answer, 'range'))
  assertMine(mine, own!, revision)
  return before!.kvs[0]?.createRevision === predecessor.createRevision ? undefined : revision
}

function rangeOp({ key }: Entry): Init<RequestOp> {
  return { request: { kind: 'range', value: { key, keysOnly: true } } }
}
