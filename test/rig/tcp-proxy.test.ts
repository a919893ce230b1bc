import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server, type Socket } from 'node:net'
import test from 'ava'
import { startProxy, type TcpProxy } from '../support/tcp-proxy.ts'

/** A server that keeps what it reads, answers each chunk with the same in capitals, and its end with its own. */
class Target {
  received = ''
  readonly sockets: Socket[] = []
  readonly endings: string[] = []
  readonly #server: Server
  readonly #waiters = new Set<() => void>()

  constructor() {
    this.#server = createServer(socket => {
      this.sockets.push(socket)
      socket.on('data', chunk => {
        this.received += chunk
        socket.write(chunk.toString().toUpperCase())
        this.#changed()
      })
      socket.on('end', () => this.#ended('end'))
      socket.on('error', (error: NodeJS.ErrnoException) => this.#ended(error.code ?? 'error'))
      this.#changed()
    })
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Resolves when the fact is true; looks again whenever something arrived. */
  async until(fact: () => boolean): Promise<void> {
    while (!fact()) await new Promise<void>(resolve => this.#waiters.add(resolve))
  }

  close(): void {
    this.#server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  #ended(how: string): void {
    this.endings.push(how)
    this.#changed()
  }

  #changed(): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const look of waiters) look()
  }
}

/** A client that keeps what it reads and how its connection ended. */
class Client {
  received = ''
  ending: string | undefined
  readonly socket: Socket
  readonly #waiters = new Set<() => void>()

  constructor(proxy: TcpProxy) {
    this.socket = connect({ host: '127.0.0.1', port: proxy.port })
    this.socket.on('data', chunk => {
      this.received += chunk
      this.#changed()
    })
    this.socket.on('end', () => this.#ended('end'))
    this.socket.on('error', (error: NodeJS.ErrnoException) => this.#ended(error.code ?? 'error'))
  }

  say(text: string): void {
    this.socket.write(text)
  }

  async hears(text: string): Promise<void> {
    while (this.received.length < text.length && this.ending === undefined) await this.#change()
    if (this.received !== text)
      throw new Error(`heard ${this.received}, then ${this.ending}, instead of ${text}`)
  }

  async ends(): Promise<string> {
    while (this.ending === undefined) await this.#change()
    return this.ending
  }

  #change(): Promise<void> {
    return new Promise(resolve => this.#waiters.add(resolve))
  }

  #ended(how: string): void {
    this.ending ??= how
    this.#changed()
  }

  #changed(): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const look of waiters) look()
  }
}

interface Scene {
  readonly target: Target
  readonly proxy: TcpProxy
  client(): Client
}

async function withProxy(body: (scene: Scene) => Promise<void>): Promise<void> {
  const target = new Target()
  const proxy = await startProxy(await target.listen())
  const clients: Client[] = []
  const client = () => {
    const made = new Client(proxy)
    clients.push(made)
    return made
  }
  try {
    await body({ target, proxy, client })
  } finally {
    for (const { socket } of clients) socket.destroy()
    await proxy.close()
    target.close()
  }
}

test('a proxy passes bytes both ways and counts them', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const one = client()
    one.say('hello')
    await one.hears('HELLO')
    t.is(target.received, 'hello')
    t.is(proxy.connections, 1)
    t.is(proxy.forwarded('up'), 5)
    t.is(proxy.forwarded('down'), 5)
  })
})

test('the end of a connection passes through, and the proxy forgets it', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const one = client()
    one.say('bye')
    one.socket.end()
    t.is(await one.ends(), 'end')
    t.is(one.received, 'BYE')
    await target.until(() => target.endings.length === 1)
    t.deepEqual(target.endings, ['end'])
    while (proxy.connections > 0) await new Promise<void>(resolve => setImmediate(resolve))
    t.is(proxy.connections, 0)
  })
})

test('a black hole down lets requests arrive and loses their answers', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const one = client()
    one.say('a')
    await one.hears('A')
    proxy.blackhole('down')
    const loss = proxy.nextLoss('down')
    one.say('b')
    await loss
    t.is(target.received, 'ab')
    t.is(one.received, 'A')
    t.is(proxy.lost('down'), 1)
    proxy.reset()
    t.is(await one.ends(), 'ECONNRESET')
    t.is(one.received, 'A')
  })
})

test('a black hole up loses requests while the target still reaches the client', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const one = client()
    one.say('a')
    await one.hears('A')
    proxy.blackhole('up')
    const loss = proxy.nextLoss('up')
    one.say('b')
    await loss
    target.sockets[0]?.write('!')
    await one.hears('A!')
    t.is(target.received, 'a')
  })
})

test('healing a black hole resets what lost bytes and spares what was idle', async t => {
  await withProxy(async ({ proxy, client }) => {
    const talking = client()
    const idle = client()
    talking.say('a')
    idle.say('i')
    await Promise.all([talking.hears('A'), idle.hears('I')])
    proxy.blackhole('both')
    const loss = proxy.nextLoss('up')
    talking.say('b')
    await loss
    await proxy.heal()
    t.is(await talking.ends(), 'ECONNRESET')
    idle.say('j')
    await idle.hears('IJ')
    const fresh = client()
    fresh.say('c')
    await fresh.hears('C')
  })
})

test('a client that hangs up inside a black hole is not missed by the target until healed', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const one = client()
    one.say('a')
    await one.hears('A')
    proxy.blackhole('both')
    const loss = proxy.nextLoss('up')
    one.socket.end('b')
    await loss
    t.deepEqual(target.endings, [])
    t.is(proxy.connections, 1)
    await proxy.heal()
    await target.until(() => target.endings.length === 1)
    t.deepEqual(target.endings, ['ECONNRESET'])
    t.is(target.received, 'a')
    t.is(proxy.connections, 0)
  })
})

test('a client that crashes inside a black hole is not missed by the target until healed', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const one = client()
    one.say('a')
    await one.hears('A')
    proxy.blackhole('both')
    const closed = once(one.socket, 'close')
    one.socket.resetAndDestroy()
    await closed
    // The proxy has seen the reset once it has seen a later connection speak.
    const loss = proxy.nextLoss('up')
    client().say('b')
    await loss
    t.deepEqual(target.endings, [])
    t.is(proxy.connections, 2)
    await proxy.heal()
    await target.until(() => target.endings.length === 2)
    t.deepEqual(target.endings, ['ECONNRESET', 'ECONNRESET'])
  })
})

test('what was stalled arrives in order once healed', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const stalled = client()
    stalled.say('a')
    await stalled.hears('A')
    proxy.stall('up')
    for (const letter of 'bcdef') stalled.say(letter)
    while (proxy.held('up') < 5) await new Promise<void>(resolve => setImmediate(resolve))
    target.sockets[0]?.write('!')
    await stalled.hears('A!')
    t.is(target.received, 'a')
    await proxy.heal()
    await stalled.hears('A!BCDEF')
    t.is(target.received, 'abcdef')
  })
})

test('delayed bytes come late and in order, also when the delay shrinks on the way', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const one = client()
    one.say('a')
    await one.hears('A')
    proxy.delay(60)
    const sentAtMs = performance.now()
    one.say('b')
    while (proxy.held('up') === 0) await new Promise<void>(resolve => setImmediate(resolve))
    proxy.delay(1)
    one.say('c')
    await one.hears('ABC')
    t.true(performance.now() - sentAtMs >= 60)
    t.is(target.received, 'abc')
  })
})

test('sliced bytes arrive in pieces of that size, all of them and in order', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const one = client()
    one.say('a')
    await one.hears('A')
    proxy.slice(2)
    const sizes: number[] = []
    one.socket.on('data', chunk => sizes.push(chunk.length))
    target.sockets[0]?.write('bcdefgh')
    await one.hears('Abcdefgh')
    t.true(sizes.length > 1, `came as ${sizes}`)
    await proxy.heal()
    target.sockets[0]?.write('i')
    await one.hears('Abcdefghi')
  })
})

test('a proxy that loses replies lets settings and pings pass, and resets at the first frame of an answer', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    proxy.loseReplies()
    const one = client()
    await target.until(() => target.sockets.length === 1)
    const settings = frame(4, 'settings')
    const ping = frame(6, '12345678')
    const answered = frame(1, 'head')
    // Torn anywhere: a frame is found all the same.
    for (const part of [settings.slice(0, 3), settings.slice(3) + ping.slice(0, 12), ping.slice(12)])
      target.sockets[0]?.write(part)
    await one.hears(settings + ping)
    t.is(proxy.repliesLost, 0)
    target.sockets[0]?.write(answered.slice(0, 5))
    await one.hears(settings + ping + answered.slice(0, 5))
    target.sockets[0]?.write(answered.slice(5))
    t.is(await one.ends(), 'ECONNRESET')
    t.is(proxy.repliesLost, 1)
    await proxy.heal()
    const fresh = client()
    fresh.say('c')
    await fresh.hears('C')
  })
})

test('a reset strikes every connection at both sides, and new ones are served', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const pair = [client(), client()]
    for (const one of pair) one.say('a')
    await Promise.all(pair.map(one => one.hears('A')))
    proxy.reset()
    t.deepEqual(await Promise.all(pair.map(one => one.ends())), ['ECONNRESET', 'ECONNRESET'])
    await target.until(() => target.endings.length === 2)
    t.deepEqual(target.endings, ['ECONNRESET', 'ECONNRESET'])
    const fresh = client()
    fresh.say('b')
    await fresh.hears('B')
    t.is(proxy.accepted, 3)
  })
})

test('an orderly end reaches both sides without an error', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const one = client()
    one.say('a')
    await one.hears('A')
    proxy.end()
    t.is(await one.ends(), 'end')
    await target.until(() => target.endings.length === 1)
    t.deepEqual(target.endings, ['end'])
  })
})

test('a refusing proxy turns new connections away, keeps old ones, and listens again on the same port', async t => {
  await withProxy(async ({ proxy, client }) => {
    const old = client()
    old.say('a')
    await old.hears('A')
    const { port } = proxy
    proxy.refuse()
    t.is(await client().ends(), 'ECONNREFUSED')
    old.say('b')
    await old.hears('AB')
    await proxy.heal()
    t.is(proxy.port, port)
    const fresh = client()
    fresh.say('c')
    await fresh.hears('C')
  })
})

test('a silent proxy accepts, says nothing, and resets those it was silent to when healed', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    proxy.acceptSilently()
    const met = client()
    const loss = proxy.nextLoss('up')
    met.say('a')
    await loss
    t.is(target.sockets.length, 0)
    t.is(met.received, '')
    await proxy.heal()
    t.is(await met.ends(), 'ECONNRESET')
  })
})

test('a target that is not there resets the client', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    target.close()
    t.is(await client().ends(), 'ECONNRESET')
    t.is(proxy.connections, 0)
  })
})

test('a slow reader holds up the sender, and loses nothing', async t => {
  await withProxy(async ({ target, proxy, client }) => {
    const one = client()
    one.socket.pause()
    const large = 'x'.repeat(32 * 2 ** 20)
    one.say(large)
    await target.until(() => target.received.length === large.length)
    await standstill(() => proxy.forwarded('down'))
    t.true(proxy.forwarded('down') < large.length)
    one.socket.resume()
    await one.hears(large.toUpperCase())
    t.is(proxy.forwarded('down'), large.length)
  })
})

/** Resolves when the number has not changed for many turns of the event loop. */
async function standstill(read: () => number): Promise<void> {
  for (let turns = 0, last = read(); turns < 500; turns++) {
    await new Promise<void>(resolve => setImmediate(resolve))
    if (read() !== last) turns = 0
    last = read()
  }
}

/** An HTTP/2 frame of that type. */
function frame(type: number, payload: string): string {
  return String.fromCharCode(0, 0, payload.length, type, 0, 0, 0, 0, 1) + payload
}

test('a connection whose end is on its way can be broken off, and the process ends', async t => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', END_AND_BREAK_OFF])
  // Where it cannot, Node looks for the last of its connections without a pause, when all else is over.
  const patience = setTimeout(() => child.kill('SIGKILL'), 30_000)
  const [status, signal] = await once(child, 'exit')
  clearTimeout(patience)
  t.deepEqual([status, signal], [0, null])
})

const END_AND_BREAK_OFF = `
  import { connect, createServer } from 'node:net'
  import { breakOff } from ${JSON.stringify(new URL('../support/tcp-proxy.js', import.meta.url))}
  const server = createServer({ allowHalfOpen: true }, peer => {
    peer.on('error', () => {})
    peer.on('end', () => peer.destroy())
    peer.resume()
  })
  server.listen(0, '127.0.0.1', () => {
    const socket = connect({ ...server.address(), host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => {})
    socket.once('connect', () => {
      socket.end()
      breakOff(socket)
      server.close()
    })
  })
`
