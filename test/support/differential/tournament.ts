import { grpcTransport } from '../../../src/client/grpc-transport.ts'
import type { Transport } from '../../../src/support/transport.ts'
import type { Series } from '../etcd-binaries.ts'
import { startEtcd } from '../etcd-server.ts'
import { type Difference, Duel } from './duel.ts'
import { scriptOf } from './generator.ts'
import { Target } from './target.ts'

/** A server to be measured against a real one. */
export interface Contestant {
  readonly address: string
  readonly transport: Transport
}

export interface Tournament {
  readonly series: Series
  readonly firstSeed: number
  readonly scripts: number
  /** Called for every seed that shows a difference, with the shortest script that does. */
  onDifference(seed: number, difference: Difference): void
  /**
   * Called for a difference that no repetition of its script shows. Our answers depend on the script alone, so
   * it is the real server that once said something else; that does not count.
   */
  onPassing(seed: number, difference: Difference): void
  onProgress?(played: number): void
}

/** Plays the scripts of that many seeds on the contestant and a real server of the series. Resolves with how many differed. */
export async function compare(contestant: Contestant, tournament: Tournament): Promise<number> {
  // The cheapest hash there is: signing in is not what is compared.
  const real = await startEtcd({ series: tournament.series, flags: ['--bcrypt-cost=4'] })
  const ours = await Target.connect('ours', contestant.transport, contestant.address)
  const theirs = await Target.connect(`etcd ${tournament.series}`, grpcTransport(), real.endpoint)
  try {
    const duel = new Duel(ours, theirs, tournament.series)
    let differences = 0
    for (let played = 0; played < tournament.scripts; played++) {
      const seed = tournament.firstSeed + played
      const found = await duel.fight(scriptOf(seed))
      tournament.onProgress?.(played + 1)
      if (found === undefined) continue
      const again = await repeated(duel, found)
      if (again === undefined) {
        tournament.onPassing(seed, found)
      } else {
        differences++
        tournament.onDifference(seed, await duel.shrink(again))
      }
    }
    return differences
  } catch (error) {
    throw new Error(`${(error as Error).message}, which said last:\n${await real.members[0].log()}`, {
      cause: error,
    })
  } finally {
    ours.close()
    theirs.close()
    await real.close()
  }
}

const REPETITIONS = 5

async function repeated(duel: Duel, { script }: Difference): Promise<Difference | undefined> {
  for (let repetition = 0; repetition < REPETITIONS; repetition++) {
    const again = await duel.fight(script)
    if (again !== undefined) return again
  }
  return undefined
}
