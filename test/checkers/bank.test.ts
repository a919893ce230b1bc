import { Bank, balance } from '../support/bank.ts'
import { type Deep, integer, type Kind, pick, tellsBadHistories } from './bad-histories.ts'
import { checkBank } from './bank.ts'
import { type Random, seeded } from './good-history.ts'
import type { Change, Commit } from './history.ts'

const bank = new Bank('bank/', ['a', 'b', 'c', 'd'])

type Log = readonly Commit[]
type Put = Deep<Extract<Change, { kind: 'put' }>>

/** Money goes to and fro, several transfers in a commit now and then, and other keys are written, too. */
function drawn(seed: number): Log {
  const random = seeded(seed)
  const values = new Map<string, string>()
  const versions = new Map<string, bigint>()
  return Array.from({ length: 20 }, (_, index) => {
    const revision = BigInt(index + 2)
    const written = new Map<string, string>()
    const transfers = random() < 0.2 ? 0 : random() < 0.8 ? 1 : 2
    for (let transfer = 0; transfer < transfers; transfer += 1) {
      const from = pick(bank.accounts, random)!
      const to = pick(
        bank.accounts.filter(account => account !== from),
        random,
      )!
      const amount = integer(random, 1, 30)
      for (const [account, change] of [
        [from, -amount],
        [to, amount],
      ] as const) {
        const value = `${balance(values.get(account)) + change}|${index}-${transfer}`
        values.set(account, value)
        written.set(account, value)
      }
    }
    if (written.size === 0) written.set('elsewhere/a', `${index}`)
    const changes = [...written].map(([key, value]): Change => {
      const version = (versions.get(key) ?? 0n) + 1n
      versions.set(key, version)
      return { kind: 'put', key, value, createRevision: 2n, version, lease: 0n }
    })
    return { revision, at: 10 * index, changes }
  })
}

/** A write to an account, and its commit. */
function someMove(log: Deep<Log>, random: Random): { readonly commit: Deep<Commit>; readonly move: Put } {
  const commit = pick(
    log.filter(({ changes }) => changes.some(({ key }) => key.startsWith(bank.prefix))),
    random,
  )!
  const moves = commit.changes.filter(({ key }) => key.startsWith(bank.prefix))
  return { commit, move: pick(moves, random) as Put }
}

function adds(amount: number, to: string): string {
  return `${balance(to) + amount}|spoilt`
}

function putsOf(log: Deep<Log>): Put[] {
  return log.flatMap(({ changes }) => changes as Put[])
}

function valueBefore(log: Deep<Log>, account: string, index: number): string | undefined {
  return putsOf(log.slice(0, index)).findLast(({ key }) => key === account)?.value
}

function spoiling(
  change: (found: ReturnType<typeof someMove>, random: Random, log: Deep<Log>) => boolean | undefined,
): Kind<Log>['corrupt'] {
  return (log, random) => change(someMove(log, random), random, log) !== false
}

const rules = ['bank-not-balanced']

const kinds: readonly Kind<Log>[] = [
  {
    title: 'some money comes from nowhere',
    rules,
    corrupt: spoiling(({ move }, random) => {
      move.value = adds(integer(random, 1, 50), move.value)
    }),
  },
  {
    title: 'some money goes nowhere',
    rules,
    corrupt: spoiling(({ move }, random) => {
      move.value = adds(-integer(random, 1, 50), move.value)
    }),
  },
  {
    title: 'a coin is missing',
    rules,
    corrupt: spoiling(({ move }) => {
      move.value = adds(-1, move.value)
    }),
  },
  {
    title: 'half of a transfer is stored',
    rules,
    corrupt: spoiling(({ commit, move }) => {
      commit.changes.splice(commit.changes.indexOf(move), 1)
    }),
  },
  {
    title: 'a transfer is stored in two commits',
    rules,
    corrupt: spoiling(({ commit, move }, _, log) => {
      commit.changes.splice(commit.changes.indexOf(move), 1)
      log.splice(log.indexOf(commit) + 1, 0, { ...commit, at: commit.at + 1, changes: [move] })
      for (const [index, one] of log.entries()) one.revision = BigInt(index + 2)
    }),
  },
  {
    title: 'a transfer was made from a balance that was true no longer',
    rules,
    corrupt: spoiling(({ commit, move }, _, log) => {
      const index = log.indexOf(commit)
      const older = valueBefore(log, move.key, index)
      const later = putsOf(log.slice(index + 1)).find(({ key }) => key === move.key)
      if (later === undefined || balance(older) === balance(move.value)) return false
      later.value = adds(balance(older) - balance(move.value), later.value)
      return true
    }),
  },
  {
    title: 'an account is gone with all that was in it',
    rules,
    corrupt: spoiling(({ commit, move }) => {
      if (balance(move.value) === balance(undefined)) return false
      commit.changes[commit.changes.indexOf(move)] = { kind: 'delete', key: move.key }
      return true
    }),
  },
  {
    title: 'an account is deleted where nothing is transferred',
    rules,
    corrupt: (log, random) => {
      const values = new Map<string, string>()
      for (const { changes } of log.slice(0, 10))
        for (const change of changes as Put[]) values.set(change.key, change.value)
      const rich = bank.accounts.filter(account => balance(values.get(account)) !== balance(undefined))
      const key = pick(rich, random)
      if (key === undefined) return false
      log.splice(10, 0, { revision: 12n, at: 95, changes: [{ kind: 'delete', key }] })
      for (const [index, one] of log.entries()) one.revision = BigInt(index + 2)
      return true
    },
  },
  {
    title: 'one side of a transfer is written as it was before',
    rules,
    corrupt: spoiling(({ commit, move }, _, log) => {
      const before = valueBefore(log, move.key, log.indexOf(commit))
      if (before === undefined || balance(before) === balance(move.value)) return false
      move.value = before
      return true
    }),
  },
  {
    title: 'what is in an account is no number',
    rules,
    corrupt: spoiling(({ move }) => {
      move.value = 'much'
    }),
  },
  {
    title: 'one side of a transfer is applied twice',
    rules,
    corrupt: spoiling(({ commit, move }, _, log) => {
      const change = balance(move.value) - balance(valueBefore(log, move.key, log.indexOf(commit)))
      move.value = adds(change, move.value)
      return change !== 0
    }),
  },
  {
    title: 'the very first transfer is stored to one side',
    rules,
    corrupt: log => {
      const first = log.find(({ changes }) => changes[0]!.key.startsWith(bank.prefix))
      if (first?.changes.length !== 2) return false
      first.changes.pop()
      return true
    },
  },
]

tellsBadHistories<Log, Kind<Log>>({
  name: 'the checker of the bank',
  good: drawn,
  check: log => checkBank(log, bank),
  kinds,
})
