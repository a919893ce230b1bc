import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { applied } from './mutant.ts'
import { mutants } from './mutants.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))

test('every mutant still finds its text, once, and changes it', t => {
  for (const mutant of mutants) {
    const source = readFileSync(path.join(root, mutant.file), 'utf8')
    t.notThrows(() => applied(mutant, source), mutant.name)
    t.not(mutant.find, mutant.replace, mutant.name)
  }
})

test('every mutant has a name of its own, and says which promise it breaks', t => {
  const names = mutants.map(({ name }) => name)
  t.deepEqual(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  )
  for (const { name, promise } of mutants) {
    t.regex(name, /^[a-z]+(-[a-z0-9]+)+$/)
    t.true(promise.length > 20, name)
  }
  t.true(mutants.length >= 45)
})

test('every mutant names tests that exist', t => {
  for (const { name, tests } of mutants) {
    t.true(tests.length > 0, name)
    for (const { file, title } of tests) {
      const source = path.join(root, 'test', `${file}.test.ts`)
      if (!existsSync(source)) t.fail(`${name}: there is no ${file}.test.ts`)
      else if (title !== undefined)
        t.true(
          titlesIn(readFileSync(source, 'utf8')).some(known => known.test(title)),
          `${name}: ${title}`,
        )
    }
  }
})

test('a text that is missing, or there twice, is refused', t => {
  const mutant = { file: 'a.ts', find: 'one', replace: 'two' }
  t.is(applied(mutant, 'only one here'), 'only two here')
  t.throws(() => applied(mutant, 'nothing here'), { message: 'a.ts does not contain: one' })
  t.throws(() => applied(mutant, 'one and one'), { message: 'a.ts contains more than once: one' })
})

/** Of all tests in a source: some are made of several parts, some stand in a list of cases. */
function titlesIn(source: string): RegExp[] {
  const literals = source.matchAll(
    /\b(?:test(?:\.\w+)*\(|title:)\s*(?:'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)"|`([^`]*)`)/g,
  )
  return [...literals].map(([, single, double, template]) => {
    const parts = template?.split(/\$\{[^}]*\}/) ?? [(single ?? double ?? '').replaceAll(/\\(.)/g, '$1')]
    return new RegExp(`^${parts.map(part => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`)
  })
}
