import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { TapReader } from '../support/tap.ts'
import type { Attack, Killer } from './killer.ts'
import type { Suspect } from './mutant.ts'
import { runNode } from './process.ts'
import type { Workshop } from './workshop.ts'

const BASELINE_LIMIT_MS = 300_000

/** A loaded machine is slow, and a test that never ends is never in time. */
const SLOWER = 3
const GRACE_MS = 10_000

/** So often a test that fails by chance may stand in the way of the one that sees the mutant. */
const ROUNDS = 3

/** What an ava run of one file came to. */
interface Results {
  readonly passed: readonly string[]
  readonly failed: readonly string[]
  readonly ended: boolean
  readonly seconds: number
  /** What was printed beside the results. */
  readonly words: readonly string[]
}

/** One test file, or one test of it, run by ava; live tests run on the embedded etcd. */
export class TestKiller implements Killer {
  readonly name: string
  readonly #suspect: Suspect
  #titles: readonly string[] = []
  #limitMs = BASELINE_LIMIT_MS

  constructor(suspect: Suspect) {
    this.#suspect = suspect
    this.name = nameOf(suspect)
  }

  async baseline(workshop: Workshop): Promise<string | undefined> {
    const { passed, failed, ended, seconds, words } = await this.#run(workshop, this.#suspect.title)
    if (!ended) return `${this.name} did not end`
    if (failed.length > 0) return `${this.name} fails: ${failed.join('; ')}`
    if (passed.length === 0) return `${this.name} has no test: ${words.join(' ')}`
    this.#titles = passed
    this.#limitMs = seconds * 1000 * SLOWER + GRACE_MS
    return undefined
  }

  async attack(workshop: Workshop): Promise<Attack> {
    let remark: string | undefined
    for (let round = 0; round < ROUNDS; round++) {
      const failed = firstFailure(await this.#run(workshop, this.#suspect.title), this.#titles)
      if (failed === undefined) break
      const by = `${this.#suspect.file}: ${failed}`
      if (!this.#isRealTime || (await this.#failsAgain(workshop, failed))) return { kind: 'killed', by }
      // The run ended with that failure, and who sees the mutant may not have had its turn.
      remark = `${by}: failed once and then passed`
    }
    return remark === undefined ? { kind: 'survived' } : { kind: 'survived', remark }
  }

  /** In real time a test may fail for want of it. What a mutant breaks, it breaks again. */
  async #failsAgain(workshop: Workshop, failed: string): Promise<boolean> {
    const only = this.#titles.includes(failed) ? failed : this.#suspect.title
    const results = await this.#run(workshop, only)
    return firstFailure(results, only === undefined ? this.#titles : [only]) !== undefined
  }

  get #isRealTime(): boolean {
    return this.#suspect.file.startsWith('live/')
  }

  async #run(workshop: Workshop, title: string | undefined): Promise<Results> {
    const { folder } = workshop
    const ava = path.join(folder, 'node_modules', 'ava', 'entrypoints', 'cli.mjs')
    const file = path.relative(folder, workshop.compiled(`${this.#suspect.file}.test`))
    const match = title === undefined ? [] : [`--match=${title}`]
    // Tests in real time may have to wait for what never comes; the others name all that they see.
    const brief = this.#isRealTime ? ['--fail-fast'] : []
    const { status, lines, seconds } = await runNode([ava, '--tap', ...brief, ...match, file], {
      cwd: folder,
      limitMs: this.#limitMs,
      env: { QUORATE_ETCD_SERIES: 'embedded', NODE_OPTIONS: strictOptions(workshop) },
    })
    const passed: string[] = []
    const failed: string[] = []
    const words: string[] = []
    const reader = new TapReader(([failure = 'a test']) => void failed.push(failure))
    for (const line of lines) {
      reader.line(line)
      const ok = /^ok \d+ - (.*)$/.exec(line)
      if (ok !== null) passed.push(ok[1]!)
      else if (!/^(not ok|#|\s|TAP|1\.\.|$)/.test(line)) words.push(line)
    }
    reader.end()
    if (status !== 0 && status !== undefined && failed.length === 0)
      failed.push(`ended with status ${status}`)
    return { passed, failed, ended: status !== undefined, seconds, words }
  }
}

export function nameOf({ file, title }: Suspect): string {
  return title === undefined ? file : `${file}: ${title}`
}

function firstFailure({ failed, passed, ended }: Results, titles: readonly string[]): string | undefined {
  // What fails beside the tests is often what a failed test left behind.
  const failure = failed.find(title => titles.includes(title))
  if (failure !== undefined || (ended && failed.length === 0)) return failure
  // A failure that ends its process is told without the name of its test.
  const [only, another] = titles
  if (another === undefined) return only
  return failed[0] ?? titles.find(title => !passed.includes(title))
}

/** As the whole proof runs them: what would pass unnoticed otherwise fails. */
function strictOptions(workshop: Workshop): string {
  const hook = pathToFileURL(workshop.compiled('support/fatal-warnings')).href
  return ['--unhandled-rejections=strict', '--throw-deprecation', `--import=${hook}`].join(' ')
}
