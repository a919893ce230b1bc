import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { run } from '../support/executable.ts'
import { useEtcd } from '../support/live.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const compiled = fileURLToPath(new URL('../../', import.meta.url))
const etcd = useEtcd(test)

/** A fenced block of a page. Those marked `types` are compiled only. */
interface Block {
  readonly page: string
  readonly line: number
  readonly name: string
  readonly text: string
  readonly runs: boolean
}

const pages = ['README.md', ...readdirSync(path.join(root, 'docs')).map(file => path.join('docs', file))]
const blocks = pages.flatMap(blocksOf)
let folder: string
let complaints: string

const flags = [
  ...['--ignoreConfig', '--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'],
  ...['--skipLibCheck', '--module', 'nodenext', '--target', 'es2022'],
  ...['--lib', 'es2023,esnext.disposable', '--types', 'node'],
]

test.before('the blocks are compiled', async () => {
  // Inside the package, so that 'quorate' is this very one.
  folder = await mkdtemp(path.join(compiled, 'pages-'))
  for (const block of blocks) await writeFile(path.join(folder, `${block.name}.ts`), programOf(block))
  const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const files = blocks.map(({ name }) => path.join(folder, `${name}.ts`))
  // Whatever is wrong is for the first test to tell; the others run what came out.
  complaints = await run(process.execPath, [compiler, ...flags, ...files], { cwd: root }).then(
    () => '',
    (error: Error) => error.message,
  )
})

test.after.always('the compiled blocks are removed', () => rm(folder, { recursive: true, force: true }))

test('every block of the README and the docs compiles', t => {
  t.is(complaints, '')
  t.true(blocks.length >= 15)
})

for (const block of blocks.filter(({ runs }) => runs)) {
  test(`the block at ${block.page}:${block.line} runs`, async t => {
    await t.notThrowsAsync(
      run(process.execPath, [path.join(folder, `${block.name}.js`)], {
        env: { ...process.env, ENDPOINT: etcd().endpoint },
        timeoutMs: 30_000,
      }),
    )
  })
}

function blocksOf(page: string): Block[] {
  const text = readFileSync(path.join(root, page), 'utf8')
  return [...text.matchAll(/^```ts( types)?\n([\s\S]*?)^```$/gm)].map((match, index) => ({
    page,
    line: text.slice(0, match.index).split('\n').length,
    name: `${path.basename(page, '.md').toLowerCase()}-${index + 1}`,
    text: match[2]!,
    runs: match[1] === undefined,
  }))
}

/** A block that imports is a whole program. Any other is an excerpt, and finds a client and a session. */
function programOf({ text, name }: Block): string {
  const pointed = text.replaceAll(/'127\.0\.0\.1:2379'/g, 'process.env.ENDPOINT!')
  if (text.startsWith('import ')) return pointed
  return `
import { between, compare, connect, type Etcd, EtcdError, everything, from, type Hold, op, prefix, type Session } from 'quorate'
const client = await connect(process.env.ENDPOINT!)
const etcd = client.namespace('/pages/${name}')
const session = await etcd.session({ ttl: 10 })
{
${pointed}
}
await client.close()
`
}
