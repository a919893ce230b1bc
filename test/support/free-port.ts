import { createServer } from 'node:net'

/** Below what Linux and macOS hand out to outgoing connections, so that a port can be closed and opened again. */
const lowest = 12_000
const highest = 32_000

/** Loopback ports nobody listens on now. Somebody else may take one before it is used: then ask again. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest))
    if (!ports.has(port) && (await isFree(port))) ports.add(port)
  }
  return [...ports]
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
