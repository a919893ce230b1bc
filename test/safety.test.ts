import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const root = fileURLToPath(new URL('../../', import.meta.url))
const { promises, tables } = parts(readFileSync(path.join(root, 'docs/safety.md'), 'utf8'))

test('every test that docs/safety.md names exists, in its file and under its title', t => {
  const named = [...tables.matchAll(/`([\w/-]+)`: ((?:(?!<br>| \|).)+)/g)].filter(([, file]) =>
    file!.includes('/'),
  )
  t.true(named.length > 40)
  for (const [, file, title] of named) {
    const source = path.join(root, 'test', `${file!}.test.ts`)
    if (!existsSync(source)) t.fail(`there is no ${file}.test.ts`)
    else t.true(readFileSync(source, 'utf8').includes(`'${title!.trim()}'`), `${file}: ${title}`)
  }
})

test('every rule and every scenario that docs/safety.md names exists', t => {
  const sources = [...sourcesIn('test/checkers'), ...sourcesIn('test/simulation')].join('\n')
  const scenarios = sourcesIn('test/chaos/scenarios').join('\n')
  for (const [, , , rules = '', faults = ''] of rowsOf(tables)) {
    for (const name of wordsIn(rules)) t.true(sources.includes(`'${name}'`), `no rule ${name}`)
    for (const name of wordsIn(faults)) t.true(scenarios.includes(`name: '${name}'`), `no scenario ${name}`)
  }
})

test('every promise of docs/safety.md has a line that names its tests', t => {
  const known = [...promises.matchAll(/^\*\*(P\d+), /gm)].map(([, name]) => name!)
  t.deepEqual(known, ['P1', 'P2', 'P3', 'P4', 'P5', 'P6', 'P7'])
  const rows = rowsOf(tables)
  for (const name of known)
    t.true(
      rows.some(([, promise]) => promise!.trim().startsWith(`${name}: `)),
      name,
    )
  for (const [, promise, tests] of rows) t.true(tests!.trim() !== '', promise)
})

/** The cells of each row, without the heads. */
function rowsOf(table: string): readonly (readonly string[])[] {
  return table
    .split('\n')
    .filter(
      line => line.startsWith('| ') && !line.startsWith('| ---') && !/^\| (not promised|promise) /.test(line),
    )
    .map(line => line.split('|'))
}

function parts(page: string): { readonly promises: string; readonly tables: string } {
  const at = page.indexOf('## Where each promise is tried')
  return { promises: page.slice(0, at), tables: page.slice(at) }
}

function sourcesIn(folder: string): readonly string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .map(file => readFileSync(path.join(root, folder, file), 'utf8'))
}

function wordsIn(cell: string): readonly string[] {
  return [...cell.matchAll(/`([\w-]+)`/g)].map(([, word]) => word!)
}
