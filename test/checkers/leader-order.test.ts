import { type Deep, integer, type Kind, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import { checkLeaderOrder, type LeaderSeen } from './leader-order.ts'

type Told = readonly (LeaderSeen | undefined)[]

/** Leaders that follow each other, with and without vacancies between, and what they proclaim; some of it left out. */
function drawn(seed: number): Told {
  const random = seeded(seed)
  const told: (LeaderSeen | undefined)[] = random() < 0.5 ? [undefined] : []
  let revision = 1n
  const next = () => {
    revision += BigInt(integer(random, 1, 5))
    return revision
  }
  for (let leader = 0; leader < 8; leader += 1) {
    const createRevision = next()
    const key = `elections/0/${leader}`
    told.push({ key, createRevision, modRevision: createRevision })
    for (let count = leader === 0 ? 2 : integer(random, 0, 3); count > 0; count -= 1)
      told.push({ key, createRevision, modRevision: next() })
    if (random() < 0.4 || leader === 3) told.push(undefined)
  }
  return told
}

type Draft = Deep<Told>

/** Somewhere in what was told. */
function at(
  fits: (told: Draft, index: number) => boolean,
  change: (told: Draft, index: number, random: Random) => void,
): Kind<Told>['corrupt'] {
  return (told, random) =>
    toOne(
      [...told.keys()],
      random,
      index => fits(told, index),
      index => change(told, index, random),
    )
}

const isLeader = (told: Draft, index: number) => told[index] !== undefined
const isVacant = (told: Draft, index: number) => told[index] === undefined
/** Two entries of one leader. */
const isProclaimed = (told: Draft, index: number) =>
  told[index] !== undefined && told[index - 1]?.createRevision === told[index].createRevision
/** Two leaders right after each other. */
const isFollowed = (told: Draft, index: number) =>
  told[index] !== undefined &&
  told[index + 1] !== undefined &&
  told[index + 1]!.createRevision > told[index].createRevision

const kinds: readonly Kind<Told>[] = [
  {
    title: 'a vacancy is told twice in a row',
    rules: ['vacancy-repeated'],
    corrupt: at(isVacant, (told, index) => told.splice(index, 0, undefined)),
  },
  {
    title: 'a vacancy is told again and again',
    rules: ['vacancy-repeated'],
    corrupt: at(isVacant, (told, index, random) =>
      told.splice(index, 0, ...Array.from({ length: integer(random, 2, 5) }, () => undefined)),
    ),
  },
  {
    title: 'who led between two vacancies is left out',
    rules: ['vacancy-repeated'],
    corrupt: at(isLeader, (told, index) => {
      const { createRevision } = told[index]!
      const first = told.findIndex(one => one?.createRevision === createRevision)
      const count = told.filter(one => one?.createRevision === createRevision).length
      told.splice(first, count, undefined, undefined)
    }),
  },
  {
    title: 'a leader comes back that was followed',
    rules: ['leader-back'],
    corrupt: at(isFollowed, (told, index) => {
      const last = told.at(-1) ?? told.at(-2)!
      if (told.at(-1) === undefined) told.pop()
      told.push({ ...told[index]!, modRevision: last.modRevision + 1n })
    }),
  },
  {
    title: 'two leaders are told in the wrong order',
    rules: ['leader-back'],
    corrupt: at(
      (told, index) =>
        isFollowed(told, index) &&
        told[index + 2]?.createRevision !== told[index + 1]!.createRevision &&
        told[index - 1]?.createRevision !== told[index]!.createRevision,
      (told, index) => {
        const [one, other] = [told[index], told[index + 1]]
        told[index] = other
        told[index + 1] = one
      },
    ),
  },
  {
    title: 'a leader is told that was created before the one it follows',
    rules: ['leader-back'],
    corrupt: at(isFollowed, (told, index) => {
      const before = told[index]!
      told.splice(index + 1, 0, { ...before, key: 'old', createRevision: before.createRevision - 1n })
    }),
  },
  {
    title: 'two leaders are of one revision',
    rules: ['leaders-of-one-revision'],
    corrupt: at(isProclaimed, (told, index) => {
      told[index]!.key = 'elections/0/other'
      // And those after it, as if it were true.
      const { createRevision } = told[index]!
      for (const one of told.slice(index))
        if (one?.createRevision === createRevision) one.key = 'elections/0/other'
    }),
  },
  {
    title: 'the next leader has the creation of the one before it',
    rules: ['leaders-of-one-revision'],
    corrupt: at(isFollowed, (told, index) => {
      const { createRevision: old } = told[index + 1]!
      for (const one of told)
        if (one?.createRevision === old) one.createRevision = told[index]!.createRevision
    }),
  },
  {
    title: 'what was proclaimed is told twice',
    rules: ['proclaimed-before'],
    corrupt: at(isLeader, (told, index) => told.splice(index, 0, { ...told[index]! })),
  },
  {
    title: 'what was proclaimed before is told after what was proclaimed later',
    rules: ['proclaimed-before'],
    corrupt: at(isProclaimed, (told, index) => {
      const [one, other] = [told[index - 1]!, told[index]!]
      told[index - 1] = other
      told[index] = one
      // Whatever else is told of it comes after both.
      const rest = told.slice(index + 1).filter(each => each?.createRevision === one.createRevision)
      for (const each of rest) each!.modRevision += 100n
    }),
  },
  {
    title: 'a proclamation is as old as the leader',
    rules: ['proclaimed-before'],
    corrupt: at(isProclaimed, (told, index) => {
      told[index]!.modRevision = told[index]!.createRevision
    }),
  },
  {
    title: 'a proclamation is older than the leader',
    rules: ['proclaimed-before'],
    corrupt: at(isProclaimed, (told, index, random) => {
      told[index]!.modRevision = told[index]!.createRevision - BigInt(integer(random, 1, 9))
    }),
  },
]

tellsBadHistories<Told, Kind<Told>>({
  name: 'the checker of the order of leaders',
  good: drawn,
  check: told => checkLeaderOrder('elections/0/', told),
  kinds,
})
