import { AlarmType } from '../wire/gen/rpc.g.ts'
import type { DatabaseSize } from './database-size.ts'
import type { Settings } from './settings.ts'
import type { Space } from './space.ts'
import { StatusError } from './status-error.ts'
import { Code, refuse } from './statuses.ts'

export interface Alarm {
  readonly memberId: bigint
  readonly alarm: AlarmType
}

/** What stands against writing: alarms of members, and a database that is as large as it may be. */
export class Alarms implements Space {
  readonly #size: DatabaseSize
  readonly #settings: Pick<Settings, 'quotaBytes'>
  #active: readonly Alarm[] = []

  constructor(size: DatabaseSize, settings: Pick<Settings, 'quotaBytes'>) {
    this.#size = size
    this.#settings = settings
  }

  /** With `none`: all of them. */
  active(alarm: AlarmType = AlarmType.none): readonly Alarm[] {
    return alarm === AlarmType.none ? this.#active : this.#active.filter(active => active.alarm === alarm)
  }

  /** Undefined where there is no such alarm to raise. */
  raise(memberId: bigint, alarm: AlarmType): Alarm | undefined {
    if (alarm === AlarmType.none) return undefined
    const found = this.#find(memberId, alarm)
    if (found !== undefined) return found
    const raised = { memberId, alarm }
    this.#active = [...this.#active, raised]
    return raised
  }

  /** Undefined where it was not raised. */
  disarm(memberId: bigint, alarm: AlarmType): Alarm | undefined {
    const found = this.#find(memberId, alarm)
    this.#active = this.#active.filter(active => active !== found)
    return found
  }

  /** An alarm once raised stays, whatever is freed, until somebody disarms it. */
  admit(bytes: number, memberId: bigint): void {
    const { quotaBytes } = this.#settings
    if (quotaBytes > 0 && this.#size.bytes + bytes >= quotaBytes) {
      this.raise(memberId, AlarmType.noSpace)
      throw refuse.noSpace()
    }
    if (this.active(AlarmType.corrupt).length > 0)
      throw new StatusError(Code.dataLoss, 'etcdserver: corrupt cluster')
    if (this.active(AlarmType.noSpace).length > 0) throw refuse.noSpace()
  }

  #find(memberId: bigint, alarm: AlarmType): Alarm | undefined {
    return this.#active.find(active => active.memberId === memberId && active.alarm === alarm)
  }
}

/** As Go prints the message: part of what `status` complains of. */
export function wordsOf({ memberId, alarm }: Alarm): string {
  return `memberID:${memberId} alarm:${alarm === AlarmType.noSpace ? 'NOSPACE' : 'CORRUPT'} `
}
