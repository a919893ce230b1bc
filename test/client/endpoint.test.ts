import test from 'ava'
import { parseEndpoint } from '../../src/client/endpoint.ts'

const readings: readonly [text: string, tlsWanted: boolean, url: string, address: string][] = [
  ['127.0.0.1:2379', false, 'http://127.0.0.1:2379', '127.0.0.1:2379'],
  ['etcd.example', false, 'http://etcd.example:2379', 'etcd.example:2379'],
  ['http://etcd.example:80', false, 'http://etcd.example:80', 'etcd.example:80'],
  ['https://etcd.example', false, 'https://etcd.example:2379', 'etcd.example:2379'],
  ['https://etcd.example:443/', false, 'https://etcd.example:443', 'etcd.example:443'],
  ['etcd.example:1', true, 'https://etcd.example:1', 'etcd.example:1'],
  ['[::1]:2379', false, 'http://[::1]:2379', '[::1]:2379'],
  ['HTTP://Etcd.Example:5', false, 'http://etcd.example:5', 'etcd.example:5'],
  [
    'etcd_1.default.svc.cluster.local.:2379',
    false,
    'http://etcd_1.default.svc.cluster.local.:2379',
    'etcd_1.default.svc.cluster.local.:2379',
  ],
]

for (const [text, tlsWanted, url, address] of readings) {
  test(`${text}${tlsWanted ? ' with TLS' : ''} is read as ${url}`, t => {
    t.like(parseEndpoint(text, tlsWanted), {
      url,
      address,
      scheme: 'tcp',
      tls: url.startsWith('https'),
    })
  })
}

test('a socket file is an endpoint', t => {
  const expected = { url: 'unix:/run/etcd.sock', address: '/run/etcd.sock', scheme: 'unix', tls: false }
  t.like(parseEndpoint('unix:/run/etcd.sock', false), expected)
  t.like(parseEndpoint('unix:///run/etcd.sock', false), expected)
  t.is(parseEndpoint('unix:/run/my etcd.sock', false).address, '/run/my etcd.sock')
})

const garbage: readonly unknown[] = [
  '',
  ' ',
  'a b:1',
  ' host:1',
  'host:1 ',
  'host:1\n',
  'https://host:443\n',
  'ho\tst:1',
  'host\u00a0:1',
  'host:1\0',
  'unix:/run/etcd.sock\n',
  ':2379',
  'host:port',
  'host:99999',
  'host:0',
  'host:-1',
  'host:1/path',
  'host:1?query',
  'host:1#part',
  'ftp://host:1',
  'unix:',
  'unix:/',
  'unix://host/path',
  'http://',
  '[::1',
  '[not-v6]:1',
  '::1',
  'a,b',
  'host:1,host:2',
  42,
  null,
  undefined,
  {},
]

for (const text of garbage) {
  test(`${JSON.stringify(text) ?? 'undefined'} is no endpoint`, t => {
    t.throws(() => parseEndpoint(text as string, false), { instanceOf: TypeError })
  })
}

test('http:// contradicts the wish for TLS', t => {
  t.throws(() => parseEndpoint('http://host:1', true), { instanceOf: TypeError })
})

test('a password in an endpoint is refused and not repeated', t => {
  for (const text of [
    'http://me:secret@host:1',
    'me:secret@host:1',
    'http://me:secret@host:1/path',
    'ftp://me:secret@host',
  ]) {
    const error = t.throws(() => parseEndpoint(text, false), { instanceOf: TypeError })
    t.false(error.message.includes('secret'), error.message)
  }
})
