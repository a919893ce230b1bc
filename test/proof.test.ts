import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { proofTable } from './checkers/proof-table.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const checkers = path.join(root, 'test/checkers')
const rows = proofTable()

test('every checker is in the table of docs/proof.md, once, with at least forty bad histories', t => {
  const judges = judgesIn(checkers).map(({ file }) => file)
  t.true(judges.length > 20)
  t.deepEqual(rows.map(({ checker }) => checker).toSorted(), judges.toSorted())
  for (const { checker, histories } of rows) t.true(histories >= 40, checker)
})

// The helper counts what it tries, and compares that with the table, when the tests of the checker are run.
test('the tests of every checker hold it to its bad histories with the helper that counts them', t => {
  for (const { checker } of rows) {
    const tests = path.join(checkers, `${checker}.test.ts`)
    if (!existsSync(tests)) t.fail(`there is no ${checker}.test.ts`)
    else t.regex(readFileSync(tests, 'utf8'), /^tells(BadHistories|Corruptions)[<(]/m, checker)
  }
})

test('every checker judges what is played: a simulation, the real faults, or both', t => {
  const played = [...sourcesIn('test/simulation'), ...sourcesIn('test/chaos')].join('\n')
  const ofEveryHistory = readFileSync(path.join(checkers, 'check.ts'), 'utf8')
  t.true(played.includes('checkHistory('))
  for (const { file, functions } of judgesIn(checkers))
    for (const name of functions)
      t.true(played.includes(`${name}(`) || ofEveryHistory.includes(`  ${name},`), `${file}: ${name}`)
})

/** Files with exported functions whose names say that they check, but for the one that calls the others. */
function judgesIn(
  folder: string,
): readonly { readonly file: string; readonly functions: readonly string[] }[] {
  return readdirSync(folder)
    .filter(file => file.endsWith('.ts') && !file.endsWith('.test.ts') && file !== 'check.ts')
    .flatMap(file => {
      const source = readFileSync(path.join(folder, file), 'utf8')
      const functions = [...source.matchAll(/^export function (check\w+)/gm)].map(([, name]) => name!)
      return functions.length === 0 ? [] : [{ file: path.basename(file, '.ts'), functions }]
    })
}

function sourcesIn(folder: string): readonly string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .map(file => readFileSync(path.join(root, folder, file), 'utf8'))
}
