import { type KeyValue, prefix } from '../../../src/index.ts'
import type { Found } from '../../checkers/history.ts'
import type { Chance } from '../chance.ts'
import { sharedNowMs } from '../clock.ts'
import type { Round } from '../messages.ts'
import type { Post } from './post.ts'
import { codeOf, outcomeOf } from './what-went-wrong.ts'

const KEYS = 8

/** Puts a value nobody wrote before, or deletes. */
export async function writeSomething({ etcd, round, chance, journal }: Post): Promise<void> {
  const key = someKey(round, chance)
  const value = chance.happens(0.2) ? undefined : journal.value()
  const id = journal.begin('writes', { key, value, invokedAt: sharedNowMs() })
  try {
    const { revision } = value === undefined ? await etcd.delete(key) : await etcd.put(key, value)
    journal.more('writes', id, { settledAt: sharedNowMs(), outcome: 'ok', revision })
  } catch (error) {
    journal.more('writes', id, { settledAt: sharedNowMs(), outcome: outcomeOf(error), error: codeOf(error) })
  }
}

/** Reads one key or all of them, linearizably. */
export async function readSomething({ etcd, round, chance, journal }: Post): Promise<void> {
  const all = prefix(`${round.prefix}kv/`)
  const one = chance.happens(0.5) ? someKey(round, chance) : undefined
  const range =
    one === undefined
      ? { from: `${round.prefix}kv/`, to: Buffer.from(all.end).toString('latin1') }
      : { from: one }
  const id = journal.begin('reads', { ...range, invokedAt: sharedNowMs() })
  try {
    const { kvs, revision } = await etcd.range(one ?? all)
    journal.more('reads', id, {
      settledAt: sharedNowMs(),
      outcome: 'ok',
      revision,
      found: kvs.map(foundOf),
    })
  } catch (error) {
    journal.more('reads', id, { settledAt: sharedNowMs(), outcome: 'failed', error: codeOf(error) })
  }
}

export function foundOf(kv: KeyValue): Found {
  const { createRevision, modRevision, version } = kv
  const key = Buffer.from(kv.key).toString('latin1')
  return { key, value: kv.text(), createRevision, modRevision, version }
}

function someKey(round: Round, chance: Chance): string {
  return `${round.prefix}kv/${chance.between(1, KEYS)}`
}
