import type { ObservedRun } from './observed-run.ts'

/** An account nobody has written to yet has so much in it. */
const OPENING = 100

export interface Order {
  readonly from: string
  readonly to: string
  readonly amount: number
  /** Some functions wait for something else, too. */
  readonly meanwhile?: (() => Promise<unknown>) | undefined
}

/** A function of a transaction may fail, too. */
export class Poor extends Error {
  override readonly name = 'Poor'
}

/** A few accounts below one prefix. Whatever is transferred, the total stays. */
export class Bank {
  readonly prefix: string
  readonly accounts: readonly string[]

  constructor(prefix: string, names: readonly string[]) {
    this.prefix = prefix
    this.accounts = names.map(name => prefix + name)
  }

  get total(): number {
    return this.accounts.length * OPENING
  }

  /** `unique` makes the values unlike all others. */
  async transfer(run: ObservedRun, { from, to, amount, meanwhile }: Order, unique: string): Promise<void> {
    const [has, gets] = await Promise.all([run.get(from), run.get(to)])
    if (meanwhile !== undefined) await meanwhile()
    if (balance(has) < amount) throw new Poor()
    run.put(from, `${balance(has) - amount}|${unique}|from`)
    run.put(to, `${balance(gets) + amount}|${unique}|to`)
  }

  async sum(run: ObservedRun): Promise<number> {
    return this.sumOf(await run.below(this.prefix))
  }

  sumOf(values: ReadonlyMap<string, string>): number {
    return this.accounts.reduce((sum, account) => sum + balance(values.get(account)), 0)
  }
}

export function balance(value: string | undefined): number {
  return value === undefined ? OPENING : Number(value.split('|')[0])
}
