/** How much may be stored, and whether anything may be written at all. */
export interface Space {
  /**
   * Throws NOSPACE when a write of about this many bytes does not fit, and raises the alarm. Asked before anything
   * else, and not for what stores nothing.
   */
  admit(bytes: number, memberId: bigint): void
  /** Throws when an alarm forbids a write of that many bytes; 0: it stores nothing. Asked once all else about the request is in order. */
  checkAlarm(bytes: number): void
}
