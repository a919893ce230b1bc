/** Writes the timeline: one column per worker, so that two at once would be seen at a glance. */

type Colour = 'green' | 'red' | 'yellow' | 'bold' | 'dim'

const codes: Readonly<Record<Colour, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 }
const columnWidth = 12

export class Paper {
  readonly #workers: readonly string[]
  readonly #coloured: boolean
  readonly #startedAtMs: number = performance.now()

  constructor(workers: readonly string[], output: { readonly isTTY?: boolean } = process.stdout) {
    this.#workers = workers
    this.#coloured = output.isTTY === true && !process.env.NO_COLOR
  }

  say(text = ''): void {
    process.stdout.write(`${text}\n`)
  }

  heading(): void {
    const columns = this.#workers.map(name => name.padEnd(columnWidth)).join('')
    this.say(this.paint('dim', `${' '.repeat(11)}${columns}`.trimEnd()))
  }

  /** Something that happened to one worker. */
  mark(worker: string, text: string, colour: Colour): void {
    const before = ' '.repeat(columnWidth * this.#workers.indexOf(worker))
    this.say(`${this.#clock()}${before}${this.paint(colour, text)}`)
  }

  /** Something for everybody to read. */
  note(text: string, colour: Colour = 'bold'): void {
    this.say(`${this.#clock()}${this.paint(colour, text)}`)
  }

  paint(colour: Colour, text: string): string {
    return this.#coloured ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text
  }

  #clock(): string {
    const seconds = ((performance.now() - this.#startedAtMs) / 1000).toFixed(2)
    return this.paint('dim', `${seconds.padStart(7)} s  `)
  }
}
