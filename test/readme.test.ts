import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const root = fileURLToPath(new URL('../../', import.meta.url))
const pages = [
  ...readdirSync(root).filter(file => file.endsWith('.md')),
  ...readdirSync(path.join(root, 'docs'))
    .filter(file => file.endsWith('.md'))
    .map(file => path.join('docs', file)),
]

for (const page of pages) {
  test(`every link of ${page} leads to a file, and every part of a page to its heading`, t => {
    const broken = linksOf(read(page)).filter(link => {
      const [file, heading] = link.split('#') as [string, string?]
      const target = file === '' ? page : path.join(path.dirname(page), file)
      if (!existsSync(path.join(root, target))) return true
      return heading !== undefined && !headingsOf(read(target)).some(text => anchorOf(text) === heading)
    })
    t.deepEqual(broken, [])
  })
}

test('every error code has its heading in docs/errors.md, and every heading is a code', t => {
  const union = /export type ErrorCode =([\s\S]*?)\n\n/.exec(read('src/wire/errors.ts'))?.[1] ?? ''
  const codes = [...union.matchAll(/'([A-Z_]+)'/g)].map(([, code]) => code!)
  const headings = [...read('docs/errors.md').matchAll(/^### (\w+)$/gm)].map(([, heading]) => heading!)
  t.true(codes.length > 20)
  t.deepEqual(headings.toSorted(), codes.toSorted())
})

test('every warning code is in docs/sessions.md', t => {
  const sources = ['src', 'recipes'].flatMap(folder =>
    readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter(file => file.endsWith('.ts') && !file.includes('gen'))
      .map(file => read(path.join(folder, file))),
  )
  const codes = sources.flatMap(source =>
    [...source.matchAll(/\bwarn\(\{\s+code: '(\w+)'/g)].map(([, code]) => code!),
  )
  t.true(codes.length >= 2)
  for (const code of codes) t.regex(read('docs/sessions.md'), new RegExp(`^\\| \`${code}\` +\\|`, 'm'), code)
})

test('npm scripts that a page names exist', t => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Readonly<Record<string, string>> }
  for (const page of pages)
    for (const [, script] of read(page).matchAll(/\bnpm run ([\w-]+)/g))
      t.true(script! in scripts, `${page}: ${script}`)
})

test('files a page names in backticks exist', t => {
  for (const page of pages) {
    for (const [, file] of read(page).matchAll(
      /`((?:src|recipes|test|docs|proto|examples)\/[\w./-]+\.\w+)`/g,
    ))
      t.true(existsSync(path.join(root, file!)), `${page}: ${file}`)
  }
})

function read(file: string): string {
  return readFileSync(path.join(root, file), 'utf8')
}

function linksOf(page: string): string[] {
  return [...page.matchAll(/\]\(([^)]+)\)/g)].map(([, link]) => link!).filter(link => !/^\w+:/.test(link))
}

function headingsOf(page: string): string[] {
  return [...page.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!)
}

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')
}
