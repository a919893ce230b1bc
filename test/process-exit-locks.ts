/** A program that holds locks and waits for them, closes its client and has nothing else to do. Usage: process-exit-locks.js <scene> <endpoint>... */
import { connect } from '../src/index.ts'

const [scene, ...endpoints] = process.argv.slice(2)
const etcd = await connect(endpoints)
const name = `/process-exit-locks/${process.pid}`
const holding = await etcd.session()
const waiting = await etcd.session()
const waits: Promise<unknown>[] = []

switch (scene) {
  case 'rw-mutex': {
    const hold = await holding.rwMutex(name).readLock()
    waits.push(waiting.rwMutex(name).writeLock())
    while ((await etcd.rwMutex(name).waiters()).length < 1);
    waits.push(waiting.rwMutex(name).readLock())
    while ((await etcd.rwMutex(name).waiters()).length < 2);
    waits.push(hold.tryUpgrade())
    break
  }
  case 'semaphore': {
    await holding.semaphore(name, { permits: 2 }).acquire({ count: 2 })
    // One at the head of the line, who watches the slots, and one behind it.
    waits.push(waiting.semaphore(name, { permits: 2 }).acquire())
    while ((await etcd.semaphore(name).waiters()).length < 1);
    waits.push(waiting.semaphore(name, { permits: 2 }).acquire())
    while ((await etcd.semaphore(name).waiters()).length < 2);
    break
  }
  case 'lock-all': {
    await holding.lockAll([`${name}/a`, { name: `${name}/b`, mode: 'write' }])
    waits.push(waiting.lockAll([`${name}/a`, { name: `${name}/b`, mode: 'read' }]))
    while ((await etcd.rwMutex(`${name}/b`).waiters()).length < 1);
    waits.push(waiting.tryLockAll([`${name}/b`, `${name}/c`]))
    break
  }
  case 'options': {
    const lost = await etcd.session()
    const options = { lockDelayMs: 600_000, maxHoldMs: 600_000, onRevocation: () => {} }
    await lost.mutex(`${name}-lost`, options).lock()
    await lost.close()
    await holding.mutex(name, options).lock()
    await etcd.mutex(name).requestRevocation()
    // Ours already, and not told before the delay is over.
    waits.push(waiting.mutex(`${name}-lost`, options).lock())
    while ((await etcd.mutex(`${name}-lost`).holder()) === undefined);
    break
  }
  default:
    throw new RangeError(`no such scene: ${scene}`)
}

const ended = Promise.allSettled(waits)
await etcd.close()
await ended
console.log('closed')
