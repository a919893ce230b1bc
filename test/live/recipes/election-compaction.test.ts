import test, { type ExecutionContext } from 'ava'
import type { LeaderInfo } from '../../../src/index.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import { player, quiet, sessionPlayer, testRuntime } from '../../traits/arena.ts'

const CHECK_MS = 30_000
const GRACE_MS = 5000

/** Of its own: a compaction concerns everybody on a server. */
const server = useEtcd(test)

test.serial('an observer that was overtaken by a compaction goes on with who leads then', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const observer = await player(t, server())
  const name = nameOf(t)
  const first = await session.election(name).campaign('0')
  const seen = observer.etcd.election(name).observe()
  t.is(wordsOf(await seen.next()), '0')
  await observer.net.watching(({ key }) => Buffer.from(key).toString() === `${name}/`)
  const stopped = observer.net.stopWatches(({ key }) => Buffer.from(key).toString() === `${name}/`)
  await first.proclaim('1')
  await stopped.caught()
  for (let n = 2; n < 5; n++) await first.proclaim(String(n))
  await etcd.compact((await etcd.get(first.key))!.modRevision)
  stopped.off()
  observer.net.cutStreams(methods.watch)
  t.is(wordsOf(await seen.next()), '4', 'skipped, never out of order')
  await first.proclaim('5')
  t.is(wordsOf(await seen.next()), '5')
  await seen.return!()
})

test.serial('a look at the line that a compaction overtook begins no second round of looking', async t => {
  const runtime = testRuntime()
  const { etcd, session } = await sessionPlayer(t, server())
  const observer = await player(t, server(), { runtime })
  const name = nameOf(t)
  const first = await session.election(name).campaign('0')
  const seen = observer.etcd.election(name).observe()
  t.is(wordsOf(await seen.next()), '0')
  await observer.net.watching(({ key }) => Buffer.from(key).toString() === `${name}/`)
  const looking = observer.net.stopAnswers(methods.range)
  t.is(runtime.fire(CHECK_MS), 1)
  const look = await looking.caught()
  looking.off()
  const stopped = observer.net.stopWatches(({ key }) => Buffer.from(key).toString() === `${name}/`)
  await first.proclaim('1')
  await stopped.caught()
  await first.proclaim('2')
  await etcd.compact((await etcd.get(first.key))!.modRevision)
  stopped.off()
  observer.net.cutStreams(methods.watch)
  t.is(wordsOf(await seen.next()), '2')
  t.is(runtime.pending(CHECK_MS), 1)
  await look.deliver()
  await quiet(observer.net)
  t.is(runtime.pending(GRACE_MS), 0)
  t.is(runtime.pending(CHECK_MS), 1)
  await seen.return!()
  t.is(runtime.pending(CHECK_MS), 0)
})

test.serial('an observer that begins after a compaction sees who leads', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.election(name).campaign('0')
  await first.proclaim('1')
  const { revision } = await etcd.put(`${name}-other`, '')
  await etcd.compact(revision)
  const seen = etcd.election(name).observe()
  t.is(wordsOf(await seen.next()), '1')
  await seen.return!()
})

function wordsOf({ value }: IteratorResult<LeaderInfo | undefined>): string | undefined {
  return (value as LeaderInfo | undefined)?.text()
}

function nameOf(t: ExecutionContext): string {
  return `${uniquePrefix(t)}election`
}
