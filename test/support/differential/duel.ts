import { isDeepStrictEqual } from 'node:util'
import type { Series } from '../etcd-binaries.ts'
import { knownDifferences } from './known-differences.ts'
import { Player } from './player.ts'
import { literal, printed, type Script } from './script.ts'
import { shortest } from './shrink.ts'
import type { Target } from './target.ts'

export interface Difference {
  readonly script: Script
  /** What was done last, or that it was the watches that were told something else. */
  readonly where: string
  readonly ours: unknown
  readonly theirs: unknown
}

/** One script at a time on our server and a real one, step by step, until they say different things. */
export class Duel {
  readonly #ours: Player
  readonly #theirs: Player
  readonly #series: Series

  constructor(ours: Target, theirs: Target, series: Series) {
    this.#ours = new Player(ours)
    this.#theirs = new Player(theirs)
    this.#series = series
  }

  /** Undefined when both said the same all along. */
  async fight(script: Script): Promise<Difference | undefined> {
    await Promise.all([this.#ours.begin(), this.#theirs.begin()])
    const found = await this.#play(script)
    if (this.#theirs.isGone)
      throw new Error(`the real server did not survive\n${printed(found?.script ?? script)}\n`)
    const [ours, theirs] = await Promise.all([this.#ours.end(), this.#theirs.end()])
    if (found !== undefined || isDeepStrictEqual(ours, theirs)) return found
    return { script, where: 'what the watches were told', ours, theirs }
  }

  /** The shortest part of a script that still makes a difference. */
  async shrink(difference: Difference): Promise<Difference> {
    let smallest = difference
    await shortest(difference.script, async script => {
      const found = await this.fight(script)
      if (found !== undefined) smallest = found
      return found !== undefined
    })
    return smallest
  }

  async #play(script: Script): Promise<Difference | undefined> {
    for (const [index, step] of script.entries()) {
      const situation = this.#theirs.situation
      const known = knownDifferences.some(
        ({ series, concerns }) => series.includes(this.#series) && concerns(step, situation),
      )
      if (known) continue
      const [ours, theirs] = await Promise.all([this.#ours.play(step), this.#theirs.play(step)]).catch(
        (cause: unknown) => {
          throw new Error(`${(cause as Error).message}, after\n${printed(script.slice(0, index + 1))}\n`, {
            cause,
          })
        },
      )
      if (!isDeepStrictEqual(ours, theirs)) {
        return { script: script.slice(0, index + 1), where: literal(step), ours, theirs }
      }
      if (!situation.authEnabled && this.#theirs.situation.authEnabled)
        await Promise.all([this.#ours.signInAsRoot(), this.#theirs.signInAsRoot()])
    }
    return undefined
  }
}

/** For people: how to see it again, and what to look at. */
export function described(seed: number, { script, where, ours, theirs }: Difference): string {
  return [
    `seed ${seed}, the shortest script that shows it:`,
    printed(script),
    `where: ${where}`,
    `ours:   ${literal(ours)}`,
    `theirs: ${literal(theirs)}`,
  ].join('\n')
}
