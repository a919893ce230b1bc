import { once } from 'node:events'
import { createServer as createHttp2, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { connect, type Etcd, EtcdError } from '../../src/index.ts'
import { methods } from '../../src/wire/methods.ts'

const CONNECT_MS = 1500
const REQUEST_MS = 1000
/** Deadlines are kept, also by a machine with other things to do. */
const SLACK_MS = 4000

/** A gRPC message: not compressed, its length, itself. */
function framed(message: Uint8Array, { flag = 0, length = message.length } = {}): Buffer {
  const head = Buffer.alloc(5)
  head[0] = flag
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, message])
}

const answer = methods.range.response.encode({
  header: { clusterId: 1n, memberId: 1n, revision: 7n },
  count: 1n,
  kvs: [{ key: Buffer.from('k'), value: Buffer.from('v'), createRevision: 7n, modRevision: 7n, version: 1n }],
})

const OK = { ':status': 200, 'content-type': 'application/grpc' }

function trailing(stream: ServerHttp2Stream, trailers: Record<string, string>, headers: object = OK): void {
  stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  stream.respond(headers as never, { waitForTrailers: true })
}

const streamers: Readonly<Record<string, (stream: ServerHttp2Stream) => void>> = {
  'a page of HTML': stream => {
    stream.respond({ ':status': 404, 'content-type': 'text/html' })
    stream.end('<h1>Not found</h1>')
  },
  'no status at the end': stream => {
    stream.respond(OK)
    stream.end(framed(new Uint8Array(0)).subarray(0, 3))
  },
  'a status that is no number': stream => {
    trailing(stream, { 'grpc-status': 'banana', 'grpc-message': '%0A%1b[31mroot%00%zz%' })
    stream.end()
  },
  'words that steer a terminal and forge a line': stream => {
    trailing(stream, { 'grpc-status': '13', 'grpc-message': 'a%0A[OK] b%1b[31mc%00d' })
    stream.end()
  },
  'a status beyond all numbers': stream => {
    trailing(stream, { 'grpc-status': '99999999999999999999', 'grpc-message': 'x'.repeat(3000) })
    stream.end()
  },
  'success without a message': stream => {
    trailing(stream, { 'grpc-status': '0' })
    stream.end()
  },
  'a message that says it is compressed, and does not say how': stream => {
    trailing(stream, { 'grpc-status': '0' })
    stream.end(framed(answer, { flag: 1 }))
  },
  'a message in a compression nobody knows': stream => {
    trailing(stream, { 'grpc-status': '0' }, { ...OK, 'grpc-encoding': 'zip-of-death' })
    stream.end(framed(answer, { flag: 1 }))
  },
  'a message that is no gzip although it says so': stream => {
    trailing(stream, { 'grpc-status': '0' }, { ...OK, 'grpc-encoding': 'gzip' })
    stream.end(framed(Buffer.from('no gzip'), { flag: 1 }))
  },
  'sixteen megabytes of zeros in sixteen kilobytes of gzip': stream => {
    trailing(stream, { 'grpc-status': '0' }, { ...OK, 'grpc-encoding': 'gzip' })
    stream.end(framed(gzipSync(Buffer.alloc(2 ** 24)), { flag: 1 }))
  },
  'a message of four gigabytes of which ten bytes come': stream => {
    stream.respond(OK)
    stream.write(framed(Buffer.alloc(10), { length: 2 ** 32 - 1 }))
  },
  'a message that ends early': stream => {
    trailing(stream, { 'grpc-status': '0' })
    stream.end(framed(answer, { length: answer.length + 5 }))
  },
  'bytes that are no message': stream => {
    trailing(stream, { 'grpc-status': '0' })
    stream.end(framed(Uint8Array.of(0x0c, 0xff)))
  },
  'an endless line of header': stream => {
    trailing(stream, { 'grpc-status': '13', 'grpc-message': 'x'.repeat(200_000) })
    stream.end()
  },
  'a stream reset': stream => stream.close(2),
  'a stream refused': stream => stream.close(7),
  'a connection destroyed': stream => stream.session?.destroy(),
  'a farewell that asks for calm': stream => stream.session?.goaway(11),
  silence: () => {},
}

for (const [what, respond] of Object.entries(streamers)) {
  test(`a server that answers with ${what} fails the call, clearly and in time`, async t => {
    const address = await listening(t, () => {
      const server = createHttp2()
      server.on('stream', stream => {
        stream.on('error', () => {})
        respond(stream)
      })
      server.on('session', session => session.on('error', () => {}))
      return server
    })
    const before = process.memoryUsage().rss
    const etcd = await connect(address, { connectTimeoutMs: 30_000, requestTimeoutMs: REQUEST_MS })
    for (const call of [() => etcd.get('k'), () => etcd.put('k', 'v'), () => etcd.session({ ttl: 60 })]) {
      const startedAtMs = performance.now()
      const error = await t.throwsAsync<Error>(call, undefined, what)
      t.true(EtcdError.is(error), error?.stack)
      t.true(performance.now() - startedAtMs < REQUEST_MS + SLACK_MS)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what must not be in it
      t.notRegex(error?.message ?? '', /[\u0000-\u001f]/)
      t.true((error?.message.length ?? 0) < 10_000)
    }
    const watch = etcd.watch('k', { signal: AbortSignal.timeout(200) })
    await t.throwsAsync(watch[Symbol.asyncIterator]().next(), { any: true })
    await closed(etcd)
    t.true(process.memoryUsage().rss - before < 2 ** 29)
  })
}

const greeters: Readonly<Record<string, (socket: Socket) => void>> = {
  'HTTP/1': socket => socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n'),
  'bytes of all kinds': socket =>
    socket.end(Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 73) % 256))),
  'a TLS alert': socket => socket.end(Buffer.from([0x15, 3, 1, 0, 2, 2, 0x46])),
  'a frame of sixteen megabytes': socket => socket.end(Buffer.from([0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0])),
  'settings without end': socket => {
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])
    const send = () => {
      while (!socket.destroyed && socket.write(settings));
    }
    socket.on('drain', send)
    send()
  },
  nothing: () => {},
  goodbye: socket => socket.destroy(),
}

for (const [what, greet] of Object.entries(greeters)) {
  test(`a server that greets with ${what} is told of, clearly and in time`, async t => {
    const address = await listening(t, () =>
      createTcp(socket => {
        socket.on('error', () => {})
        greet(socket)
      }),
    )
    const startedAtMs = performance.now()
    const error = await connect(address, { connectTimeoutMs: CONNECT_MS, requestTimeoutMs: REQUEST_MS }).then(
      async etcd => {
        // Settings alone make a connection of HTTP/2; no call on it is answered.
        const failed = await t.throwsAsync<Error>(etcd.get('k'))
        await closed(etcd)
        return failed
      },
      error => error as unknown,
    )
    t.true(EtcdError.is(error), String(error))
    t.true(performance.now() - startedAtMs < CONNECT_MS + REQUEST_MS + SLACK_MS)
  })
}

test('an answer that comes byte by byte is the answer', async t => {
  const address = await listening(t, () => {
    const server = createHttp2()
    server.on('stream', async stream => {
      trailing(stream, { 'grpc-status': '0' })
      for (const byte of framed(answer)) {
        stream.write(Uint8Array.of(byte))
        await new Promise(resolve => setImmediate(resolve))
      }
      stream.end()
    })
    return server
  })
  const etcd = await connect(address)
  t.is((await etcd.get('k'))?.text(), 'v')
  await etcd.close()
})

async function closed(etcd: Etcd): Promise<void> {
  await etcd.close().catch(() => {})
}

/** Starts the server for as long as the test runs. */
async function listening(t: { teardown(fn: () => void): void }, make: () => Server): Promise<string> {
  const server = make()
  const sockets = new Set<Socket>()
  server.on('connection', socket => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}
