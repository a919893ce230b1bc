import test from 'ava'
import { readContenders } from '../../recipes/contender.ts'
import type { Engine } from '../../src/client/engine.ts'

const NOW_MS = 1_000_000
const LEASE = 0xabcn

/** What is told of one place with this value. */
async function told(value: string | Uint8Array, suffix = 'abc') {
  const kv = {
    key: Buffer.from(`lock/${suffix}`),
    value: typeof value === 'string' ? Buffer.from(value) : value,
    createRevision: 7n,
    modRevision: 7n,
    version: 1n,
    lease: LEASE,
  }
  const engine = {
    submitter: { submit: async () => ({ kvs: [kv] }) },
    runtime: { wallNow: () => NOW_MS },
  }
  const [contender] = await readContenders(engine as unknown as Engine, Buffer.from('lock/'), 'one', {})
  return contender!
}

test('a place tells what its session said', async t => {
  t.like(await told('{"v":1,"owner":"me","host":"h","pid":7,"sinceMs":999000}'), {
    leaseId: LEASE,
    createRevision: 7n,
    foreign: false,
    owner: 'me',
    host: 'h',
    pid: 7,
    sinceMs: 999_000,
    ageMs: 1000,
  })
})

test('a clock that is behind makes nobody younger than nothing', async t => {
  t.is((await told('{"v":1,"sinceMs":2000000}')).ageMs, 0)
})

test('what is not understood says nothing, and is no error', async t => {
  const values = [
    '',
    '{',
    'null',
    '7',
    '"text"',
    '[]',
    '{}',
    '{"v":2,"owner":"me"}',
    '{"v":1,"owner":7,"host":null,"pid":"7","sinceMs":"soon"}',
    '{"__proto__":{"v":1,"owner":"me"}}',
    Buffer.of(0xff, 0xfe),
  ]
  for (const value of values) {
    t.deepEqual(Object.keys(await told(value)).toSorted(), ['createRevision', 'foreign', 'key', 'leaseId'])
  }
})

test('the value of a foreign key is none of ours', async t => {
  const contender = await told('{"v":1,"owner":"me"}', 'below/abc')
  t.true(contender.foreign)
  t.is(contender.owner, undefined)
})
