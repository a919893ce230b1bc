/** Tells earlier from later within one client, also where no clock has gone on in between. */
export class Moments {
  #latest = 0

  /** Later than all before. */
  next(): number {
    this.#latest += 1
    return this.#latest
  }
}
