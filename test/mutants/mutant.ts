/** One deliberate mistake in the library: a text of one source file, and what stands there instead. */
export interface Mutant {
  /** Kebab-case, as `--only` takes it. */
  readonly name: string
  /** What it breaks, as the library promises it. */
  readonly promise: string
  /** From the root of the repository. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  /** Compiles. */
  readonly replace: string
  /** The tests that must see it, the cheapest first. */
  readonly tests: readonly Suspect[]
  /** Recipes whose simulation is set upon it, too. With `--simulations-only` it survives unless one of them sees it. */
  readonly simulations?: readonly string[]
}

/** Tests that are expected to fail: a whole file, or one of its tests. */
export interface Suspect {
  /** Below `test/`, without `.test.ts`. */
  readonly file: string
  readonly title?: string
}

/** A whole test file, or the one test of it with this title. */
export function by(file: string, title?: string): Suspect {
  return title === undefined ? { file } : { file, title }
}

/** The source with the mistake in it. Throws when the text is not there exactly once. */
export function applied(mutant: Pick<Mutant, 'file' | 'find' | 'replace'>, source: string): string {
  const at = source.indexOf(mutant.find)
  if (mutant.find === '' || at < 0) throw new Error(`${mutant.file} does not contain: ${mutant.find}`)
  if (source.indexOf(mutant.find, at + 1) >= 0)
    throw new Error(`${mutant.file} contains more than once: ${mutant.find}`)
  return source.slice(0, at) + mutant.replace + source.slice(at + mutant.find.length)
}
