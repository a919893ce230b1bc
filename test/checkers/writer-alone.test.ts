import { type Deep, integer, type Kind, pick, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import { checkWriterAlone, type Look } from './writer-alone.ts'

type Looks = readonly Look[]
type Draft = Deep<Look>

/** Looks at two locks, of which the one and the other is held by nobody, by readers, or by a writer. */
function drawn(seed: number): Looks {
  const random = seeded(seed)
  let token = 1n
  return Array.from({ length: 20 }, (_, index) => {
    const mode = index % 3 === 0 ? 'write' : 'read'
    const count = mode === 'write' ? 1 : index % 3 === 1 ? integer(random, 2, 4) : integer(random, 0, 1)
    const holders = Array.from({ length: count }, () => {
      token += BigInt(integer(random, 1, 5))
      return { mode, token } as const
    })
    return { name: `modes/${integer(random, 0, 1)}/`, holders }
  })
}

function toLook(
  fits: (look: Draft) => boolean,
  change: (look: Draft, random: Random, looks: Draft[]) => void,
): Kind<Looks>['corrupt'] {
  return (draft, random) => toOne(draft, random, fits, look => change(look, random, draft))
}

const isWritten = ({ holders }: Draft) => holders.some(({ mode }) => mode === 'write')
const isReadBy = (least: number) => (look: Draft) => !isWritten(look) && look.holders.length >= least
const rules = ['writer-not-alone']
const other = (random: Random) => BigInt(integer(random, 1000, 9999))

const kinds: readonly Kind<Looks>[] = [
  {
    title: 'one of several readers writes',
    rules,
    corrupt: toLook(isReadBy(2), ({ holders }, random) => {
      pick(holders, random)!.mode = 'write'
    }),
  },
  {
    title: 'the first of several readers has become a writer',
    rules,
    corrupt: toLook(isReadBy(2), ({ holders }) => {
      holders[0]!.mode = 'write'
    }),
  },
  {
    title: 'the last of several readers has become a writer',
    rules,
    corrupt: toLook(isReadBy(2), ({ holders }) => {
      holders.at(-1)!.mode = 'write'
    }),
  },
  {
    title: 'all of several readers write',
    rules,
    corrupt: toLook(isReadBy(2), ({ holders }) => {
      for (const holder of holders) holder.mode = 'write'
    }),
  },
  {
    title: 'a reader comes beside the writer',
    rules,
    corrupt: toLook(isWritten, ({ holders }, random) => {
      holders.push({ mode: 'read', token: other(random) })
    }),
  },
  {
    title: 'a reader was there before the writer',
    rules,
    corrupt: toLook(isWritten, ({ holders }) => {
      holders.unshift({ mode: 'read', token: 0n })
    }),
  },
  {
    title: 'a second writer comes',
    rules,
    corrupt: toLook(isWritten, ({ holders }, random) => {
      holders.push({ mode: 'write', token: other(random) })
    }),
  },
  {
    title: 'a writer is there twice, with one token',
    rules,
    corrupt: toLook(isWritten, ({ holders }) => {
      holders.push({ ...holders[0]! })
    }),
  },
  {
    title: 'many readers come beside the writer',
    rules,
    corrupt: toLook(isWritten, ({ holders }, random) => {
      for (let count = integer(random, 2, 6); count > 0; count -= 1)
        holders.push({ mode: 'read', token: other(random) })
    }),
  },
  {
    title: 'a writer comes beside a single reader',
    rules,
    corrupt: toLook(isReadBy(1), ({ holders }, random) => {
      holders.splice(1)
      holders.push({ mode: 'write', token: other(random) })
    }),
  },
  {
    title: 'a writer comes beside many readers',
    rules,
    corrupt: toLook(isReadBy(3), ({ holders }, random) => {
      holders.splice(integer(random, 0, holders.length), 0, { mode: 'write', token: other(random) })
    }),
  },
  {
    title: 'what two looks saw was to be seen in one',
    rules,
    corrupt: toLook(isWritten, ({ holders }, _, looks) => {
      holders.push(...looks.find(isReadBy(1))!.holders)
    }),
  },
]

tellsBadHistories<Looks, Kind<Looks>>({
  name: 'the checker of writers',
  good: drawn,
  check: checkWriterAlone,
  kinds,
})
