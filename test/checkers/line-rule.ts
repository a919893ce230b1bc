/** A key in a line, as the server has it at some revision. */
export interface Place {
  readonly key: string
  readonly createRevision: bigint
  readonly lease: bigint
  readonly value: string
}

/**
 * What distinguishes one recipe that stands in a line from another. Written from what the recipe promises, not
 * from how it is built: a mistake shared with it would not be seen.
 */
export interface LineRule {
  /** Which places own, given all there are at one revision, oldest first. Whoever is given back is of those given. */
  owners(places: readonly Place[]): readonly Place[]
  /** May all of these believe at the same instant that they own? */
  together(believers: readonly Place[]): boolean
  /** Must `later` not be granted while `earlier`, created before it, is there? */
  waitsFor(later: Place, earlier: Place): boolean
}

/** A mutex, an election: the oldest, alone. */
export const oneAtATime: LineRule = {
  owners: places => places.slice(0, 1),
  together: believers => believers.length <= 1,
  waitsFor: () => true,
}

/** A read-write lock: all readers before the first writer, or that writer alone when it is the first. */
export const readersAndWriters: LineRule = {
  owners: places => {
    const writer = places.findIndex(place => !isReader(place))
    return places.slice(0, writer === -1 ? undefined : Math.max(writer, 1))
  },
  together: believers => believers.length <= 1 || believers.every(isReader),
  waitsFor: (later, earlier) => !isReader(later) || !isReader(earlier),
}

/**
 * The same where holders change their modes: a history tells only what each place was last, so who may be together
 * and who waits for whom has to be seen by others.
 */
export const changingModes: LineRule = {
  owners: readersAndWriters.owners,
  together: () => true,
  waitsFor: () => false,
}

/** Seats, of which everybody who has one owns it; whoever waits for one stands elsewhere. */
export function seatsFor(seats: number): LineRule {
  return {
    owners: places => places.slice(),
    together: believers => believers.length <= seats,
    waitsFor: () => false,
  }
}

function isReader({ value }: Place): boolean {
  try {
    return (JSON.parse(value) as { readonly mode?: unknown }).mode === 'read'
  } catch {
    return false
  }
}
