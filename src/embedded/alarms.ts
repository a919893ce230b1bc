import { AlarmType } from '../wire/gen/rpc.g.ts'
import type { DatabaseSize } from './database-size.ts'
import type { Settings } from './settings.ts'
import type { Space } from './space.ts'
import { refuse } from './statuses.ts'

export interface Alarm {
  readonly memberId: bigint
  readonly alarm: AlarmType
}

/** Leases end by writes, so none does where nothing may be written. */
export interface LeaseTime {
  hold(): void
  release(): void
}

/**
 * What stands against writing: alarms of members, and a database that is as large as it may be.
 *
 * One alarm is in force at a time, as in etcd: the kind that was raised last, until the last of any kind is
 * disarmed. Others are listed, and forbid nothing.
 */
export class Alarms implements Space {
  readonly #size: DatabaseSize
  readonly #settings: Pick<Settings, 'quotaBytes'>
  readonly #leases: LeaseTime
  #active: readonly Alarm[] = []
  #inForce: AlarmType = AlarmType.none

  constructor(size: DatabaseSize, settings: Pick<Settings, 'quotaBytes'>, leases: LeaseTime) {
    this.#size = size
    this.#settings = settings
    this.#leases = leases
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
    if (this.active(alarm).length === 0) this.#enforce(alarm)
    this.#active = [...this.#active, raised]
    return raised
  }

  /** Undefined where it was not raised. */
  disarm(memberId: bigint, alarm: AlarmType): Alarm | undefined {
    const found = this.#find(memberId, alarm)
    if (found === undefined) return undefined
    this.#active = this.#active.filter(active => active !== found)
    if (this.active(alarm).length === 0) this.#enforce(AlarmType.none)
    return found
  }

  /** An alarm once raised stays, whatever is freed, until somebody disarms it. */
  admit(bytes: number, memberId: bigint): void {
    const { quotaBytes } = this.#settings
    if (quotaBytes === 0 || this.#size.bytes + bytes < quotaBytes) return
    this.raise(memberId, AlarmType.noSpace)
    throw refuse.noSpace()
  }

  checkAlarm(bytes: number): void {
    if (this.#inForce === AlarmType.corrupt) throw refuse.corrupt()
    if (this.#inForce === AlarmType.noSpace && bytes > 0) throw refuse.noSpace()
  }

  #enforce(alarm: AlarmType): void {
    const heldBefore = this.#inForce === AlarmType.corrupt
    this.#inForce = alarm
    const held = alarm === AlarmType.corrupt
    if (held && !heldBefore) this.#leases.hold()
    if (!held && heldBefore) this.#leases.release()
  }

  #find(memberId: bigint, alarm: AlarmType): Alarm | undefined {
    return this.#active.find(active => active.memberId === memberId && active.alarm === alarm)
  }
}

/** As Go prints the message, where zero is nothing: part of what `status` complains of. */
export function wordsOf({ memberId, alarm }: Alarm): string {
  const member = memberId === 0n ? '' : `memberID:${memberId} `
  return `${member}alarm:${alarm === AlarmType.noSpace ? 'NOSPACE' : 'CORRUPT'} `
}
