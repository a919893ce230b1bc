import { rmSync } from 'node:fs'
import { cp, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { applied, type Mutant } from './mutant.ts'
import { runNode } from './process.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))

const COMPILE_LIMIT_MS = 120_000

/** What a mutant leaves unused is no mistake of the list; everything else the compiler says is. */
const LENIENT = {
  declaration: false,
  isolatedDeclarations: false,
  noUnusedLocals: false,
  noUnusedParameters: false,
  incremental: true,
  tsBuildInfoFile: './dist/.tsbuildinfo',
} as const

/** A private copy of the sources, compiled, in which one file at a time can be changed. */
export class Workshop implements AsyncDisposable {
  readonly folder: string
  /** The file that is changed now, and how it was. */
  #changed: { readonly file: string; readonly source: string } | undefined

  /** However the process ends, the copy goes. */
  readonly #remove = () => rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })

  private constructor(folder: string) {
    this.folder = folder
    process.once('exit', this.#remove)
  }

  /** Compiles the library and these files below `test/`, with what they import. */
  static async open(files: readonly string[]): Promise<Workshop> {
    const workshop = new Workshop(await mkdtemp(path.join(tmpdir(), 'quorate-mutants-')))
    const { folder } = workshop
    for (const name of ['package.json', 'tsconfig.json', 'src', 'recipes', 'proto', 'test'])
      await cp(path.join(root, name), path.join(folder, name), { recursive: true })
    await symlink(path.join(root, 'node_modules'), path.join(folder, 'node_modules'))
    const settings = {
      extends: './tsconfig.json',
      compilerOptions: LENIENT,
      include: ['src', 'recipes'],
      files: files.map(file => `test/${file}.ts`),
    }
    await writeFile(path.join(folder, 'tsconfig.mutants.json'), JSON.stringify(settings))
    const complaints = await workshop.#compile()
    if (complaints.length > 0) throw new Error(`the sources do not compile:\n${complaints.join('\n')}`)
    return workshop
  }

  /** Another one, as this one is. */
  async copy(): Promise<Workshop> {
    const folder = await mkdtemp(path.join(tmpdir(), 'quorate-mutants-'))
    await cp(this.folder, folder, { recursive: true, verbatimSymlinks: true })
    return new Workshop(folder)
  }

  /** Compiled file of a source below `test/`. */
  compiled(file: string): string {
    return path.join(this.folder, 'dist', 'test', `${file}.js`)
  }

  /** Puts this mutant in the place of whichever was there. Resolves with what the compiler has against it. */
  async become(mutant: Mutant): Promise<readonly string[]> {
    await this.#restore()
    const source = await readFile(this.#source(mutant.file), 'utf8')
    await writeFile(this.#source(mutant.file), applied(mutant, source))
    this.#changed = { file: mutant.file, source }
    return this.#compile()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#remove)
    this.#remove()
  }

  async #restore(): Promise<void> {
    if (this.#changed === undefined) return
    await writeFile(this.#source(this.#changed.file), this.#changed.source)
    this.#changed = undefined
  }

  #source(file: string): string {
    return path.join(this.folder, file)
  }

  async #compile(): Promise<readonly string[]> {
    const tsc = path.join(root, 'node_modules', 'typescript', 'lib', 'tsc.js')
    const args = [tsc, '--project', 'tsconfig.mutants.json', '--pretty', 'false']
    const { status, lines } = await runNode(args, { cwd: this.folder, limitMs: COMPILE_LIMIT_MS })
    return status === 0 ? [] : lines
  }
}
