/** How much may be stored, and whether anything may be written at all (alarms NOSPACE and CORRUPT). */
export interface Space {
  /** Throws NOSPACE when a write of about this many bytes does not fit, and raises the alarm. Not asked for deletions. */
  admit(bytes: number, memberId: bigint): void
}
