import type { Engine } from '../../../src/client/engine.ts'
import type { Batch, Finished } from './batch.ts'
import { Claims } from './claims.ts'
import type { Interval } from './interval.ts'
import { type Crossing, Lane } from './lane.ts'
import type { Member, Ran } from './member.ts'

/** All lanes of one client. Transactions that have nothing to do with each other are in none, or in different ones. */
export class StmLanes implements Crossing {
  readonly #engine: Engine
  readonly #claims = new Claims<Lane>()

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** The lane at work on this, if there is one: what is read there now is out of date soon. */
  writing(interval: Interval): Lane | undefined {
    for (const lane of this.#claims.on([interval])) if (lane.writesTo(interval)) return lane
    return undefined
  }

  /** Commits one that has run by itself; or has it run again, if that would only be refused. */
  commit(member: Member, ran: Ran, finished: Finished): void {
    member.footprint = finished
    for (const intervals of [finished.log.intervals(), finished.reads.intervals()]) {
      for (const lane of this.#claims.on(intervals)) if (lane.meets(finished)) return lane.join(member)
    }
    const lane = new Lane(this.#engine, this)
    lane.begin(member, ran, finished)
  }

  rivalOf(lane: Lane, batch: Batch): Lane | undefined {
    for (const other of this.#claims.on(batch.intervals())) {
      if (other !== lane && other.meetsBatch(batch)) return other
    }
    return undefined
  }

  claim(lane: Lane, footprint: Finished): void {
    this.#claims.claim(lane, footprint)
  }

  clear(lane: Lane): void {
    this.#claims.clear(lane)
  }
}
