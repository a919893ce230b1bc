import test from 'ava'
import type { Entry } from '../../recipes/internal/line/entry.ts'
import { Ahead } from '../../recipes/internal/line/place.ts'
import { oneAtATime, type Rule } from '../../recipes/internal/line/rule.ts'

/** As in a line of readers and writers: readers let readers pass. */
const readers: Rule = { ...oneAtATime, values: 'read', blocks: ({ value }) => value[0] !== 0x72 }

function entry(name: string, createRevision: bigint, value = ''): Entry {
  return {
    name,
    key: Buffer.from(name),
    createRevision,
    modRevision: createRevision,
    lease: 1n,
    value: Buffer.from(value),
  }
}

test('only those created earlier are ahead', t => {
  const ahead = new Ahead(entry('me', 10n), oneAtATime)
  ahead.read(12n, [entry('me', 10n), entry('later', 11n)])
  t.true(ahead.isFree)
  ahead.read(12n, [entry('earlier', 9n), entry('me', 10n)])
  t.false(ahead.isFree)
})

test('a deletion counts only above the revision the set was read at', t => {
  const ahead = new Ahead(entry('me', 10n), oneAtATime)
  ahead.read(12n, [entry('earlier', 9n), entry('me', 10n)])
  ahead.deleted('earlier', 8n)
  ahead.deleted('earlier', 12n)
  t.false(ahead.isFree)
  ahead.deleted('earlier', 13n)
  t.true(ahead.isFree)
})

test('reading again starts over', t => {
  const ahead = new Ahead(entry('me', 10n), oneAtATime)
  ahead.read(12n, [entry('one', 8n), entry('two', 9n)])
  ahead.deleted('one', 13n)
  ahead.read(14n, [entry('two', 9n)])
  t.is(ahead.readAt, 14n)
  t.false(ahead.isFree)
  ahead.deleted('two', 14n)
  t.false(ahead.isFree)
  ahead.deleted('two', 15n)
  t.true(ahead.isFree)
})

test('where values decide, a write may free or block, and keeps the place', t => {
  const ahead = new Ahead(entry('me', 10n), readers)
  ahead.read(12n, [entry('other', 9n, 'w')])
  t.false(ahead.isFree)
  ahead.written(entry('other', 9n, 'r'), 13n)
  t.true(ahead.isFree, 'a writer became a reader')
  ahead.written(entry('other', 9n, 'w'), 11n)
  t.true(ahead.isFree, 'what was written before the reading is part of it')
  ahead.written(entry('other', 14n, 'w'), 14n)
  t.true(ahead.isFree, 'another creation stands behind us')
  ahead.written(entry('unknown', 8n, 'w'), 15n)
  t.true(ahead.isFree, 'nobody gets in front')
})
