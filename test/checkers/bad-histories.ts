import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { serialize } from 'node:v8'
import test, { type ExecutionContext } from 'ava'
import { type Random, seeded } from './good-history.ts'
import type { Violation } from './history.ts'

/** What may be changed, however deep. */
export type Deep<T> = T extends bigint | string | number | boolean | undefined
  ? T
  : T extends ReadonlyMap<infer Key, infer Value>
    ? Map<Key, Deep<Value>>
    : T extends readonly (infer Item)[]
      ? Deep<Item>[]
      : { -readonly [Name in keyof T]: Deep<T[Name]> }

/** One way in which a history that is in order can be made a bad one. */
export interface Kind<Facts> {
  /** Continues "... is told when": a sentence. */
  readonly title: string
  /** What the checker must say, and nothing else. */
  readonly rules: readonly string[]
  /** `false`: this history has nothing to do it to. */
  corrupt(draft: Deep<Facts>, random: Random): boolean
}

export interface Trial<Facts, Bad extends Kind<Facts>> {
  /** Of the checker, as the subject of each title. */
  readonly name: string
  /** A history in order: everything may go wrong in it but the promise. */
  good(seed: number): Facts
  check(facts: Facts, kind?: Bad): readonly Violation[]
  readonly kinds: readonly Bad[]
  /** What else must be true of each bad history. */
  besides?(t: ExecutionContext, bad: Facts, kind: Bad, seed: number): void
  /** For whoever has to find out why it was not told. */
  show?(bad: Facts, told: readonly Violation[]): string
}

/** What is asked of every checker that judges what is played. */
const KINDS_AT_LEAST = 10
const HISTORIES_AT_LEAST = 40
const EACH = 4
const SEEDS = 200
const GOOD_SEEDS = 60

/**
 * Holds the checker of the test file that calls it to what a checker must do: be silent about histories in order, and
 * tell the right rule, and no other, of at least forty bad ones. docs/proof.md says how many.
 */
export function tellsBadHistories<Facts, Bad extends Kind<Facts>>(trial: Trial<Facts, Bad>): void {
  const { name, good, check, kinds, besides, show } = trial
  /** No two of them are the same. */
  const tried = new Set<string>()
  test.serial(`${name} says nothing of histories in order`, t => {
    for (let seed = 0; seed < GOOD_SEEDS; seed += 1) t.deepEqual(check(good(seed)), [], `seed ${seed}`)
  })
  for (const kind of kinds) {
    test.serial(`${name} tells when ${kind.title}`, t => {
      let applied = 0
      for (let seed = 0; seed < SEEDS && applied < EACH; seed += 1) {
        // Nothing in it is the very object of something else: each part is changed by itself.
        const draft = apart(good(seed))
        if (!kind.corrupt(draft as Deep<Facts>, seeded(seed + 1000))) continue
        const bad = draft as Facts
        // Another kind may have come to the very same.
        const print = fingerprint(bad)
        if (tried.has(print)) continue
        tried.add(print)
        applied += 1
        const told = check(bad, kind)
        if (!t.deepEqual(rulesOf(told), kind.rules.toSorted(), `seed ${seed}`)) {
          t.log((show?.(bad, told) ?? inWords(bad)).slice(0, 4000))
          return
        }
        besides?.(t, bad, kind, seed)
        // Whoever reads of it must be able to find it.
        for (const { message } of told)
          t.true(message.length > 20 && !message.includes('undefined.'), message)
      }
      t.is(applied, EACH, `only ${applied} histories had anything to corrupt`)
    })
  }
  test.serial(`${name} was tried on at least 40 bad histories, and on as many as docs/proof.md says`, t => {
    t.true(kinds.length >= KINDS_AT_LEAST)
    t.is(new Set(kinds.map(({ title }) => title)).size, kinds.length)
    t.true(tried.size >= HISTORIES_AT_LEAST)
    t.is(badHistoriesOf(checkerOf(test.meta.file)), tried.size)
  })
}

export function rulesOf(violations: readonly Violation[]): readonly string[] {
  return [...new Set(violations.map(({ rule }) => rule))].sort()
}

export function pick<Item>(items: readonly Item[], random: Random): Item | undefined {
  return items[Math.floor(random() * items.length)]
}

/** Both included. */
export function integer(random: Random, from: number, to: number): number {
  return from + Math.floor(random() * (to - from + 1))
}

/** Does it to one of those that fit, if there are any. */
export function toOne<Item>(
  items: readonly Item[],
  random: Random,
  fits: (item: Item) => boolean,
  change: (item: Item) => void,
): boolean {
  const one = pick(items.filter(fits), random)
  if (one === undefined) return false
  change(one)
  return true
}

/** How many bad histories docs/proof.md says the checker was tried on. */
function badHistoriesOf(checker: string): number | undefined {
  const page = readFileSync(fileURLToPath(new URL('../../../docs/proof.md', import.meta.url)), 'utf8')
  const [, count] = new RegExp(`^\\| \`${checker}\` \\|.*\\| (\\d+) \\|$`, 'm').exec(page) ?? []
  return count === undefined ? undefined : Number(count)
}

function checkerOf(file: string): string {
  return path.basename(fileURLToPath(file)).replace(/\.test\.[jt]s$/, '')
}

function apart<Facts>(facts: Facts): Facts {
  return facts instanceof Map
    ? (new Map([...facts].map(([key, value]) => [key, apart(value)])) as Facts)
    : Array.isArray(facts)
      ? (facts.map(apart) as Facts)
      : typeof facts === 'object' && facts !== null
        ? (Object.fromEntries(Object.entries(facts).map(([key, value]) => [key, apart(value)])) as Facts)
        : facts
}

function fingerprint(facts: unknown): string {
  return createHash('sha256').update(serialize(facts)).digest('hex')
}

function inWords(facts: unknown): string {
  const words = (_: string, value: unknown) =>
    value instanceof Map ? [...value] : typeof value === 'bigint' ? `${value}n` : value
  return JSON.stringify(facts, words, 1)
}
