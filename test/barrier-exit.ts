/** A program that waits at barriers, closes its client and has nothing else to do. Usage: barrier-exit.js <endpoint>... */
import { Barrier } from '../recipes/barrier.ts'
import { CyclicBarrier } from '../recipes/cyclic-barrier.ts'
import { DoubleBarrier } from '../recipes/double-barrier.ts'
import { Latch } from '../recipes/latch.ts'
import { connect } from '../src/index.ts'

const etcd = await connect(process.argv.slice(2))
const session = await etcd.session()
const name = `/barrier-exit/${process.pid}`
const gate = new Barrier(etcd.engine, etcd.space, name)
await gate.hold({ session })
const cyclic = new CyclicBarrier(session, `${name}-cyclic`, 2)
const waits = [
  gate.wait(),
  new Latch(etcd.engine, etcd.space, `${name}-latch`).wait(),
  cyclic.await(),
  new DoubleBarrier(session, `${name}-double`, 2).enter(),
]
const ended = Promise.allSettled(waits)
while ((await cyclic.status()).waiting === 0);
await etcd.close()
await ended
console.log('closed')
