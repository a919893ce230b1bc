import test from 'ava'
import { startEtcd } from '../../../src/embedded/index.ts'
import { goPeer } from '../../support/go-peer.ts'

test("locks and elections of Go's client stand in line on it", async t => {
  await using server = await startEtcd()
  const peer = await goPeer()
  const [endpoint] = server.endpoints
  const loops = [1, 2, 3].map(() =>
    peer.start('lock-loop', { endpoint: endpoint!, name: '/l', rounds: 5, ttl: 10, guard: '/l-guard' }),
  )
  for (const loop of loops) t.like(await loop.exited, { code: 0 })
  const acquired = loops.flatMap(loop => loop.events).filter(({ event }) => event === 'acquired')
  t.is(acquired.length, 15)
  t.is(new Set(acquired.map(({ token }) => token)).size, 15)

  const observer = peer.start('observe', { endpoint: endpoint!, name: '/e' })
  await observer.next('ready')
  const leader = peer.start('elect', { endpoint: endpoint!, name: '/e', value: 'one' })
  await leader.next('elected')
  t.is((await observer.next('leader')).value, 'one')
  leader.say('proclaim two')
  t.is((await observer.next('leader')).value, 'two')
  for (const process of [leader, observer]) t.like(await process.finish(), { code: 0 })
})
