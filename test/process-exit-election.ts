/** A program that leads, wants to or looks on, closes its client and has nothing else to do. Usage: process-exit-election.js <scene> <endpoint>... */
import { connect, prefix } from '../src/index.ts'

const [scene, ...endpoints] = process.argv.slice(2)
const etcd = await connect(endpoints)
const name = `/process-exit-election/${process.pid}`
const forever = new Promise<void>(() => {})

switch (scene) {
  case 'elected': {
    const session = await etcd.session()
    await session.election(name).campaign('me')
    break
  }
  case 'observing': {
    const leaders = etcd.election(name).observe()
    await leaders.next()
    leaders.next().catch(() => {})
    break
  }
  case 'leading':
    etcd.lead(name, () => forever, { healthy: () => true }).catch(() => {})
    while ((await etcd.election(name).leader()) === undefined);
    break
  case 'candidate': {
    const session = await etcd.session()
    await session.election(name).campaign('me')
    etcd.lead(name, () => forever, { preempt: 'gracefully' }).catch(() => {})
    while ((await etcd.range(prefix(`${name}.candidates/`))).kvs.length === 0);
    break
  }
  default:
    throw new RangeError(`no such scene: ${scene}`)
}

await etcd.close()
console.log('closed')
