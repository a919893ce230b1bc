/** A program that uses the library, closes it and has nothing else to do. Usage: process-exit.js <scene> <endpoint>... */
import { connect } from '../src/index.ts'

const [scene, ...endpoints] = process.argv.slice(2)
const etcd = await connect(endpoints)
const name = `/process-exit/${process.pid}`

switch (scene) {
  case 'idle':
    break
  case 'holding': {
    const session = await etcd.session()
    await session.mutex(name).lock()
    break
  }
  case 'waiting': {
    const first = await etcd.session()
    const second = await etcd.session()
    await first.mutex(name).lock()
    const waiting = second.mutex(name).lock()
    waiting.catch(() => {})
    while ((await first.mutex(name).waiters()).length === 0);
    break
  }
  case 'asking': {
    const session = await etcd.session()
    session
      .mutex(name)
      .lock()
      .catch(() => {})
    break
  }
  case 'unlocked': {
    const session = await etcd.session()
    await session.mutex(name).run(() => {})
    await session.close()
    break
  }
  default:
    throw new RangeError(`no such scene: ${scene}`)
}

await etcd.close()
console.log('closed')
