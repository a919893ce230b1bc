import type { FaultyMember } from '../../support/etcd-cluster.ts'
import { chosen, type Fault, NOTHING_TO_UNDO, type Stage } from '../stage.ts'

type Which = 'leader' | 'any'

/** What happens to servers: one hand wields them, so no two of these meet. */
export const memberFaults: readonly Fault[] = [
  killed('member killed', 'any', 3),
  killed('leader killed', 'leader', 4),
  paused('member paused', 'any', 3),
  paused('leader paused', 'leader', 4),
  isolated('member cut off from the others', 'any', 2),
  isolated('leader cut off from the others', 'leader', 3),
  {
    name: 'leader moved',
    weight: 4,
    lasts: [0, 300],
    async strike({ cluster }) {
      await cluster.moveLeader()
      return NOTHING_TO_UNDO
    },
  },
  several('majority paused', 1, [200, 3000], 2, pause),
  several('all members paused', 1, [200, 3000], 3, pause),
  several('majority killed', 1, [100, 1500], 2, kill),
  several('all members killed', 1, [100, 1000], 3, kill),
]

function killed(name: string, which: Which, weight: number): Fault {
  return {
    name,
    weight,
    lasts: [0, 2500],
    strike: async stage => kill(stage, [await chosen(stage, which)]),
  }
}

function paused(name: string, which: Which, weight: number): Fault {
  return {
    name,
    weight,
    lasts: [300, 4000],
    strike: async stage => pause(stage, [await chosen(stage, which)]),
  }
}

function isolated(name: string, which: Which, weight: number): Fault {
  return {
    name,
    weight,
    lasts: [500, 4000],
    async strike(stage) {
      stage.cluster.isolate(await chosen(stage, which))
      return async () => stage.cluster.reunite()
    },
  }
}

function several(
  name: string,
  weight: number,
  lasts: readonly [number, number],
  count: number,
  strike: (stage: Stage, members: readonly FaultyMember[]) => Promise<() => Promise<void>>,
): Fault {
  return {
    name,
    weight,
    lasts,
    async strike(stage) {
      const spared = stage.chance.between(0, 2)
      const { members } = stage.cluster
      return strike(stage, count === 3 ? members : members.filter((_, index) => index !== spared))
    },
  }
}

async function kill({ cluster }: Stage, members: readonly FaultyMember[]): Promise<() => Promise<void>> {
  await Promise.all(members.map(member => cluster.kill(member)))
  return () => cluster.restart(...members)
}

async function pause({ cluster }: Stage, members: readonly FaultyMember[]): Promise<() => Promise<void>> {
  await Promise.all(members.map(member => cluster.pause(member)))
  return async () => void (await Promise.all(members.map(member => cluster.resume(member))))
}
