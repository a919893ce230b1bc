/**
 * What users can type, as text: every exported name with its signature, taken from the emitted declarations.
 *
 *     node dist/test/public-api.js --update
 *
 * writes it to `test/public-api.txt`, so that a change of the public surface is a line of a diff.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const compiled = fileURLToPath(new URL('../', import.meta.url))
/** In the sources, beside this file. */
export const publicApiFile: string = fileURLToPath(new URL('../../test/public-api.txt', import.meta.url))

/** Declarations of everything an entry point exports, sorted by name; then of the classes of ours they extend. */
export function publicApi(entry = 'src/index.d.ts'): string {
  const files = exportsOf(entry)
  const texts = [...files]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, file]) => declarationOf(file, name))
  const shown = new Set(files.keys())
  // A class shows only what it adds; what it inherits belongs to the surface as well. Bases may have bases.
  for (const text of texts) {
    const base = /^class (\w+).* extends (\w+)/.exec(text)
    if (base === null || shown.has(base[2]!)) continue
    const origin = importOf(files.get(base[1]!)!, base[2]!)
    if (origin === undefined) continue
    shown.add(base[2]!)
    files.set(base[2]!, origin)
    texts.push(declarationOf(origin, base[2]!))
  }
  return `${texts.join('\n\n')}\n`
}

/** The exported names, and the files that declare them. */
function exportsOf(entry: string): Map<string, string> {
  const files = new Map<string, string>()
  for (const [, list, specifier] of read(entry).matchAll(
    /^export (?:type )?\{([^}]*)\} from '([^']+)';$/gm,
  )) {
    const file = declarationFile(entry, specifier!)
    for (const item of list!.split(',').map(item => item.trim())) {
      if (item === '') continue
      const name = /^(?:type )?(\w+)$/.exec(item)?.[1]
      if (name === undefined) throw new Error(`${entry} exports "${item}": names are exported as they are`)
      files.set(name, file)
    }
  }
  return files
}

/** The declaration with its members, without comments and without what is private. */
function declarationOf(file: string, name: string): string {
  const source = read(file)
  const start = new RegExp(
    `^export (?:declare )?(?:abstract )?(?:class|interface|type|function|const) ${name}\\b`,
    'm',
  )
  const at = source.search(start)
  if (at === -1) throw new Error(`${file} does not declare ${name}`)
  const rest = source.slice(at)
  // A declaration ends at the first line that is neither indented, nor closes it, nor begins it.
  const end = rest.slice(1).search(/\n(?=\S)(?!\})/)
  return (end === -1 ? rest : rest.slice(0, end + 1))
    .replaceAll(/\/\*\*?[\s\S]*?\*\//g, '')
    .split('\n')
    .map(line => line.trimEnd())
    .filter(line => line !== '' && line.trim() !== '#private;' && !line.startsWith('//#'))
    .join('\n')
    .replace(/^export (?:declare )?/, '')
}

/** Where a file takes a name from. */
function importOf(file: string, name: string): string | undefined {
  const found = new RegExp(`^import (?:type )?\\{[^}]*\\b${name}\\b[^}]*\\} from '(\\.[^']+)';$`, 'm').exec(
    read(file),
  )
  return found === null ? undefined : declarationFile(file, found[1]!)
}

function declarationFile(from: string, specifier: string): string {
  return path.posix.join(path.posix.dirname(from), specifier.replace(/\.(?:ts|js)$/, '.d.ts'))
}

function read(file: string): string {
  return readFileSync(path.join(compiled, file), 'utf8')
}

if (process.argv.includes('--update') && import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(publicApiFile, publicApi())
}
