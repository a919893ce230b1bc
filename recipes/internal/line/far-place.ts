import type { Engine } from '../../../src/client/engine.ts'
import { part } from '../../../src/client/response-part.ts'
import type { WatchSink } from '../../../src/client/watcher.ts'
import { sleep } from '../../../src/support/bounded.ts'
import { prefixEnd } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { Event } from '../../../src/wire/gen/kv.g.ts'
import {
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  SortOrder,
  SortTarget,
} from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { isFinal } from '../trouble.ts'
import { type Entry, entryOf } from './entry.ts'
import { isFar, type LineReading, lineRange, lineReading } from './line-reading.ts'
import { placeGone, placeTaken } from './place.ts'
import type { Rule } from './rule.ts'

const AGAIN_MS = 500
const PAGE = 100n
const NO_END = new Uint8Array(0)

/** A place, and what it takes to look for those before it. */
export interface Position {
  readonly engine: Engine
  readonly prefix: Uint8Array
  readonly rule: Rule
  readonly mine: Entry
  /** Ends the wait, with its reason. */
  readonly signal: AbortSignal
}

export interface FarPlace extends Position {
  /** How many keys of its creation stand in the line. */
  readonly ours: number
  readonly ttlMs: number
}

/** Few enough are ahead to follow them one by one; or nobody that has to be waited for, in however long a line. */
export type Approached = { readonly kind: 'near'; readonly reading: LineReading } | { readonly kind: 'free' }

/**
 * Waits far back in a line. Meanwhile only the nearest of those we wait for and our own key are watched, so a
 * release costs somebody far back nothing, and the departure of that one a request.
 */
export async function approach(place: FarPlace): Promise<Approached> {
  let atLeast = 0n
  for (;;) {
    try {
      const { reading, predecessor } = await lookAround(place, atLeast)
      if (!isFar(reading, place.mine)) return { kind: 'near', reading }
      if (predecessor !== undefined) atLeast = await untilMoved(place, predecessor)
      else if (place.rule.values === 'read') return { kind: 'free' }
      // Nobody before us although the head of the line is full of others: it moved while it was read; look again.
      else atLeast = reading.revision
    } catch (error) {
      if (!EtcdError.is(error) || isFinal(error)) throw error
      await sleep(place.engine.runtime, AGAIN_MS, place.signal)
      place.signal.throwIfAborted()
    }
  }
}

/** Need nobody be waited for, in however long a line? As of `atLeast` or later. One round trip for each page of the line. */
export async function isFree(position: Position, atLeast: bigint): Promise<boolean> {
  const page = await pageBefore(position, position.mine, atLeast)
  return (await nearest(position, page, atLeast)) === undefined
}

interface Surroundings {
  readonly reading: LineReading
  /** The nearest one before us that we wait for. */
  readonly predecessor: Entry | undefined
}

/** The head of the line, our own place and those right before it, at one revision. One round trip, where order alone decides. */
async function lookAround(place: FarPlace, atLeast: bigint): Promise<Surroundings> {
  const { engine, prefix, rule, mine, ours, signal } = place
  const response = await engine.submitter.submit({
    method: methods.txn,
    request: {
      success: [
        rangeOp(mine),
        { request: { kind: 'range', value: lineRange(prefix, rule.values, ours) } },
        { request: { kind: 'range', value: before(place, mine.createRevision) } },
      ],
    },
    footprint: { reads: [{ key: prefix, end: prefixEnd(prefix) }], writes: [] },
    repeat: 'read',
    consistency: 'linearizable',
    atLeast,
    signal,
  })
  const revision = response.header?.revision ?? 0n
  const [own, line, page] = response.responses.map(answer => part(answer, 'range'))
  assertMine(mine, own!, revision)
  const predecessor = await nearest(place, page!, revision)
  return { reading: lineReading(line!, revision), predecessor }
}

/** Behind a crowd that need not be waited for there may be somebody who must: page by page, the nearest first. */
async function nearest(
  position: Position,
  first: Pick<RangeResponse, 'kvs' | 'more'>,
  atLeast: bigint,
): Promise<Entry | undefined> {
  const { rule, mine } = position
  for (let page = first; ; ) {
    const entries = page.kvs.map(entryOf)
    const found = entries.find(entry => rule.blocks(entry, mine))
    const last = entries.at(-1)
    if (found !== undefined || last === undefined || !page.more) return found
    // A later page may be from a later revision: whoever needed not be waited for before need not be then.
    page = await pageBefore(position, last, atLeast)
  }
}

function pageBefore(
  position: Position,
  { createRevision }: Entry,
  atLeast: bigint,
): Promise<Pick<RangeResponse, 'kvs' | 'more'>> {
  const { engine, prefix, signal } = position
  return engine.submitter.submit({
    method: methods.range,
    request: before(position, createRevision),
    footprint: { reads: [{ key: prefix, end: prefixEnd(prefix) }], writes: [] },
    consistency: 'linearizable',
    atLeast,
    signal,
  })
}

function before({ prefix, rule }: Position, createRevision: bigint): Init<RangeRequest> {
  return {
    key: prefix,
    rangeEnd: prefixEnd(prefix),
    sortOrder: SortOrder.descend,
    sortTarget: SortTarget.createRevision,
    maxCreateRevision: createRevision - 1n,
    limit: rule.values === 'ignored' ? 1n : PAGE,
    keysOnly: rule.values === 'ignored',
  }
}

function assertMine(mine: Entry, { kvs }: RangeResponse, revision: bigint): void {
  const found = kvs[0]
  if (found?.createRevision !== mine.createRevision) throw placeGone(mine, revision)
  if (found.lease !== mine.lease) throw placeTaken(mine)
}

/**
 * Resolves when it is time to look again: the predecessor need not be waited for any more, a watch broke, or two TTLs have passed
 * without a word. With the revision the next look must not be older than.
 */
function untilMoved(place: FarPlace, predecessor: Entry): Promise<bigint> {
  const { engine, rule, mine, ttlMs, signal } = place
  const left = (event: Event) =>
    event.type === 1 || (event.kv !== undefined && !rule.blocks(entryOf(event.kv), mine))
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
      revision: (revision, events) => {
        if (revision <= entry.createRevision) return
        if (entry === predecessor) {
          if (events.some(left)) moved(revision)
        } else if (events.some(({ type }) => type === 1)) over(placeGone(mine, revision))
      },
      broken: () => moved(0n),
      ended: (error: EtcdError) => over(error),
    })
    let stopListening = () => {}
    const watches = [mine, predecessor].map(entry =>
      engine.recipeWatches.watch(
        {
          key: entry.key,
          rangeEnd: NO_END,
          ...(rule.values === 'ignored' ? { filter: 'no-puts' as const } : {}),
          onBreak: 'restart',
        },
        sinkOf(entry),
      ),
    )
    const timer = engine.runtime.setTimer(2 * ttlMs, () => moved(0n)).unref()
    // May call at once: between two requests nobody listens.
    stopListening = engine.aborts.on(signal, over)
  })
}

/** The revision at which the predecessor was seen to be out of the way; undefined while it is not. Rejects if we are. One round trip. */
async function readBoth(
  { engine, rule, mine, signal }: FarPlace,
  predecessor: Entry,
  atLeast: bigint,
): Promise<bigint | undefined> {
  const response = await engine.submitter.submit({
    method: methods.txn,
    request: {
      success: [rangeOp(mine), rangeOp(predecessor, rule.values)],
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
  const found = before!.kvs[0]
  const inTheWay = found?.createRevision === predecessor.createRevision && rule.blocks(entryOf(found), mine)
  return inTheWay ? undefined : revision
}

function rangeOp({ key }: Entry, values: Rule['values'] = 'ignored'): Init<RequestOp> {
  return { request: { kind: 'range', value: { key, keysOnly: values === 'ignored' } } }
}
