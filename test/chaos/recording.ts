import { setTimeout as sleep } from 'node:timers/promises'
import type { Commit } from '../checkers/history.ts'
import { LogFile } from './log-file.ts'
import type { FromRecorder, ToRecorder } from './messages.ts'
import { PlayerProcess } from './player-process.ts'

const ANSWER_MS = 10_000
const CATCH_UP_MS = 60_000

/** The recorder, from the outside. */
export class Recording {
  readonly troubles: string[] = []
  readonly #process: PlayerProcess<FromRecorder, ToRecorder>
  readonly #file: LogFile
  #unread: Commit[] = []

  private constructor(endpoints: readonly string[], file: string) {
    this.#file = new LogFile(file)
    this.#process = new PlayerProcess('recorder', 'recorder', { endpoints, file }, said => {
      if (said.kind === 'trouble') this.troubles.push(said.what)
    })
  }

  static async start(endpoints: readonly string[], file: string): Promise<Recording> {
    const recording = new Recording(endpoints, file)
    await recording.#process.hears('recorded', 40_000)
    return recording
  }

  async recorded(): Promise<bigint> {
    this.#process.tell({ kind: 'recorded?' })
    return (await this.#process.hears('recorded', ANSWER_MS)).revision
  }

  /** Resolves with the commits after `since` up to `until`, once they are written down. What is older is forgotten. */
  async commits(since: bigint, until: bigint): Promise<readonly Commit[]> {
    const giveUpAtMs = performance.now() + CATCH_UP_MS
    while ((await this.recorded()) < until) {
      if (performance.now() > giveUpAtMs) throw new Error(`the recorder did not get to revision ${until}`)
      await sleep(50)
    }
    this.#unread = [...this.#unread, ...(await this.#file.more())].filter(({ revision }) => revision > since)
    const wanted = this.#unread.filter(({ revision }) => revision <= until)
    return wanted
  }

  async close(): Promise<void> {
    this.#process.tell({ kind: 'leave' })
    await this.#process.ends(5000)
  }
}
