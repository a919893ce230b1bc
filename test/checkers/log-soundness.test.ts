import { pick } from './bad-histories.ts'
import { type Corruption, type Draft, quiet, tellsCorruptions } from './corrupt.ts'
import type { Random } from './good-history.ts'
import { checkLog } from './log-soundness.ts'

type Put = Extract<Draft['log'][number]['changes'][number], { kind: 'put' }>

function alone(draft: Draft): void {
  quiet(draft)
  draft.acquisitions = []
  draft.releases = []
  draft.guardedWrites = []
  draft.writes = []
  draft.interventions = []
}

/** Not at an end of the log. */
function commit(of: (index: number, draft: Draft) => void): Corruption['corrupt'] {
  return (draft, random) => {
    alone(draft)
    of(5 + Math.floor(random() * (draft.log.length - 10)), draft)
    return true
  }
}

function put(of: (change: Put) => void, fits: (change: Put) => boolean = () => true): Corruption['corrupt'] {
  return (draft, random: Random) => {
    alone(draft)
    const puts = draft.log
      .flatMap(({ changes }) => changes)
      .filter((change): change is Put => change.kind === 'put' && fits(change))
    const found = pick(puts, random)
    if (found === undefined) return false
    of(found)
    return true
  }
}

const version = { rules: ['log-wrong-version'] }

const corruptions: readonly Corruption[] = [
  {
    title: 'a revision is skipped',
    rules: ['log-gap'],
    corrupt: commit((index, { log }) => {
      for (const each of log.slice(index)) each.revision += 1n
      for (const { changes } of log) {
        for (const change of changes) {
          if (change.kind === 'put' && change.createRevision >= log[index]!.revision - 1n)
            change.createRevision += 1n
        }
      }
    }),
  },
  {
    title: 'a commit comes twice',
    rules: ['log-gap'],
    corrupt: commit((index, { log }) => void log.splice(index, 0, { ...log[index]!, changes: [] })),
  },
  {
    title: 'two empty commits change places',
    rules: ['log-gap'],
    corrupt: commit((_, { log }) => {
      const end = log.at(-1)!
      log.push(
        { ...end, revision: end.revision + 2n, changes: [] },
        { ...end, revision: end.revision + 1n, changes: [] },
      )
    }),
  },
  {
    title: 'time goes backwards',
    rules: ['log-time-backwards'],
    corrupt: commit((index, { log }) => {
      log[index]!.at = log[index - 1]!.at - 0.01
    }),
  },
  {
    title: 'one commit is dated in the future',
    rules: ['log-time-backwards'],
    corrupt: commit((index, { log }) => {
      log[index]!.at = 1e9
    }),
  },
  {
    title: 'a version is skipped',
    ...version,
    corrupt: put(change => {
      change.version += 1n
    }),
  },
  {
    title: 'a version is repeated',
    ...version,
    corrupt: put(change => {
      change.version -= 1n
    }),
  },
  {
    title: 'a create revision is too high',
    ...version,
    corrupt: put(change => {
      change.createRevision += 1n
    }),
  },
  {
    title: 'a create revision is too low',
    ...version,
    corrupt: put(change => {
      change.createRevision -= 1n
    }),
  },
  {
    title: 'a key begins with its second version',
    ...version,
    corrupt: put(
      change => {
        change.version = 2n
      },
      ({ version }) => version === 1n,
    ),
  },
  {
    title: 'something is deleted that was never there',
    rules: ['log-delete-of-nothing'],
    corrupt: commit(
      (index, { log }) => void log[index]!.changes.push({ kind: 'delete', key: 'never/there' }),
    ),
  },
  {
    title: 'something is deleted twice',
    rules: ['log-delete-of-nothing'],
    corrupt: commit((_, { log }) => {
      const change = log.flatMap(({ changes }) => changes).findLast(({ kind }) => kind === 'delete')!
      const last = log.findLastIndex(({ changes }) => changes.some(({ key }) => key === change.key))
      log[last]!.changes.push({ kind: 'delete', key: change.key }, { kind: 'delete', key: change.key })
    }),
  },
]

tellsCorruptions('the checker of the log', checkLog, corruptions)
