import { by, type Mutant } from '../mutant.ts'

/** Who waits for one another. */
export const rendezvous: readonly Mutant[] = [
  {
    name: 'events-applied-to-a-reading-of-before-the-break',
    promise:
      'events are applied to what was read since the watch was opened, never to what was known before a break',
    file: 'recipes/internal/watched-keys.ts',
    find: 'if (!this.#isInStep || revision <= this.#revision) return',
    replace: 'if ((!this.#isInStep && this.#revision < 0n) || revision <= this.#revision) return',
    tests: [
      by('recipes/watched-keys', 'that a watch breaks is no news; the keys are read again when it is back'),
    ],
  },
  {
    name: 'events-below-the-reading-applied',
    promise: 'an event counts only above the revision the keys were read at',
    file: 'recipes/internal/watched-keys.ts',
    find: 'if (later.revision > revision) this.#apply(later)',
    replace: 'if (later.revision > 0n) this.#apply(later)',
    tests: [by('recipes/watched-keys')],
  },
  {
    name: 'view-travels-back-in-time',
    promise: 'after a break nothing older is read than what was told',
    file: 'recipes/internal/watched-keys.ts',
    find: 'void this.#read(revision > this.#revision ? revision : this.#revision, reading)',
    replace: 'void this.#read(revision, reading)',
    tests: [
      by(
        'recipes/watched-keys',
        'after a break on a member that lags, nothing older than what was told is read',
      ),
    ],
  },
  {
    name: 'late-hold-closes-a-released-barrier',
    promise: 'a hold that is applied after its barrier was released does nothing',
    file: 'recipes/internal/barrier/key.ts',
    find: 'compare: [createdAtWire(this.key, 0n), modifiedAtWire(this.#state, seen)],',
    replace:
      'compare: [createdAtWire(this.key, 0n), ...(seen < 0n ? [modifiedAtWire(this.#state, seen)] : [])],',
    tests: [
      by(
        'live/recipes/barrier',
        'a hold whose answer was lost is granted once, and cannot be applied again after its release',
      ),
    ],
  },
  {
    name: 'hold-in-doubt-not-fenced',
    promise: 'attempts without an answer cannot be applied any more when a hold is granted',
    file: 'recipes/barrier.ts',
    find: 'if (this.#isInDoubt) await orAborted',
    replace: 'if (this.#isInDoubt && this.#value.length === 0) await orAborted',
    tests: [
      by(
        'live/recipes/barrier',
        'a hold whose answer was lost cannot be applied again, although Go released it and says nothing',
      ),
    ],
  },
  {
    name: 'forgotten-loss-of-a-later-arrival-unnoticed',
    promise: 'who waits compares who is there with how many have come',
    file: 'recipes/internal/barrier/lookout.ts',
    find: 'const come = Number(counter?.version ?? 0n)',
    replace: 'const come = Number(counter?.version ?? 0n) * 0',
    tests: [
      by(
        'live/recipes/cyclic-barrier',
        'a loss the server forgot to tell is found by reading again, also of somebody who came later',
      ),
    ],
  },
  {
    name: 'next-round-ended-with-the-last',
    promise: 'who hears late that a round is over does not end the next one',
    file: 'recipes/internal/barrier/visit.ts',
    find: "while (this.#ended() === 'pending') {",
    replace: "while (endOf(this.#round.generation, this.#round) === 'pending') {",
    tests: [
      by('live/recipes/cyclic-barrier', 'who hears late that a round is over does not end the next one'),
    ],
  },
  {
    name: 'waits-for-those-who-wait-for-it',
    promise: 'the first of those who came after a loss begins the next round when nobody came before them',
    file: 'recipes/internal/barrier/visit.ts',
    find: 'const isFirst = first === undefined || mapKey(first.key) === mapKey(this.#key)',
    replace: 'const isFirst = first === undefined || present.length === 1',
    tests: [
      by(
        'live/recipes/cyclic-barrier',
        'those who came after a loss do not wait for one another when whoever came before it is lost as well',
      ),
    ],
  },
  {
    name: 'arrival-in-doubt-forgotten',
    promise: 'who gives up is not counted, however late its request is applied',
    file: 'recipes/internal/barrier/visit.ts',
    find: 'this.#isInDoubt = true',
    replace: 'this.#isInDoubt = false',
    tests: [
      by(
        'live/recipes/cyclic-barrier',
        'an arrival that is applied after its caller gave up counts for nobody',
      ),
    ],
  },
  {
    name: 'arrival-in-doubt-settled-by-its-repeat',
    promise:
      'who gives up is not counted, although an attempt before the one that was answered is applied late',
    file: 'recipes/internal/barrier/visit.ts',
    find: 'this.#mine = mine\n    if (',
    replace: 'this.#mine = mine\n    this.#isInDoubt = false\n    if (',
    tests: [
      by(
        'live/recipes/double-barrier',
        'who gives up after its repeat was counted does not come back when the first attempt is applied late',
      ),
    ],
  },
  {
    name: 'action-run-after-the-session',
    promise: 'the last to come runs no action once its session is over',
    file: 'recipes/internal/barrier/visit.ts',
    find: 'await orAborted(engine, [this.#leaving], this.#session.reliable())',
    replace: '',
    tests: [
      by(
        'live/recipes/cyclic-barrier',
        'the last to come runs no action when its session ended while its event loop stood still',
      ),
    ],
  },
  {
    name: 'round-takes-others-along',
    promise: 'with a round goes what is the round’s own',
    file: 'recipes/internal/barrier/rounds.ts',
    find: 'deleteOf(members, prefixEnd(members)),',
    replace: 'deleteOf(this.below(generation), prefixEnd(members)),',
    tests: [
      by(
        'live/recipes/cyclic-barrier',
        'a lock whose name looks like a round outlives the round, and breaks none',
      ),
    ],
  },
  {
    name: 'lock-beside-a-round-taken-for-one-of-it',
    promise: 'only who has come to a round can be lost in it',
    file: 'recipes/internal/barrier/lookout.ts',
    find: 'rangeEnd: concat(arrivals, Uint8Array.of(0)),',
    replace: 'rangeEnd: concat(arrivals, Uint8Array.of(0xff)),',
    tests: [
      by(
        'live/recipes/cyclic-barrier',
        'a lock whose name looks like a round outlives the round, and breaks none',
      ),
    ],
  },
  {
    name: 'arrival-in-any-round',
    promise: 'an arrival counts in the round it names, or not at all',
    file: 'recipes/internal/barrier/arrival.ts',
    find: 'modifiedAtWire(rounds.state, round.modRevision),',
    replace: '...(round.modRevision < 0n ? [modifiedAtWire(rounds.state, round.modRevision)] : []),',
    tests: [
      by(
        'live/recipes/cyclic-barrier',
        'an arrival that is applied after its caller gave up counts for nobody',
      ),
    ],
    simulations: ['cyclic-barrier'],
  },
  {
    name: 'departure-of-an-unseen-member-missed',
    promise: 'the loss of somebody who came last is noticed by those who have never seen its key',
    file: 'recipes/internal/barrier/lookout.ts',
    find: 'if (departures > 0)',
    replace: 'if (departures < 0)',
    tests: [
      by(
        'live/recipes/double-barrier',
        'one that came last and was lost before it opened leaves nobody waiting for ever',
      ),
    ],
  },
  {
    name: 'lost-before-we-came-not-noticed',
    promise: 'nobody passes with somebody who was lost before the last came',
    file: 'recipes/internal/barrier/visit.ts',
    find: "this.#gathering.onLoss === 'break' && present.length < arrivals",
    replace: "this.#gathering.onLoss === 'break' && present.length < arrivals - 99",
    tests: [
      by('live/recipes/cyclic-barrier', 'a round all of which crashed is begun anew by the next who come'),
    ],
  },
  {
    name: 'lost-inside-not-noticed-by-leavers',
    promise: 'one that is lost inside counts as having left',
    file: 'recipes/double-barrier.ts',
    find: '({ kvs }) => ![...kvs.values()].some(isThere) || undefined',
    replace: '({ kvs }) => (kvs.size > 1 ? true : undefined)',
    tests: [by('live/recipes/double-barrier', 'one that is lost inside counts as having left')],
  },
  {
    name: 'participant-counted-twice',
    promise: 'each participant of a latch is counted once',
    file: 'recipes/latch.ts',
    find: 'compare: [createdAtWire(mark, 0n), ...this.#isUnderWay(tried)]',
    replace: 'compare: [...this.#isUnderWay(tried)]',
    tests: [by('live/recipes/latch', 'each participant is counted once, however often it counts down')],
    simulations: ['latch'],
  },
  {
    name: 'late-count-in-the-next-round',
    promise: 'a participant is counted in the round it came in, or not at all',
    file: 'recipes/latch.ts',
    find: "versionOf(this.#count, 'less', base + BigInt(total)),",
    replace: "versionOf(this.#count, 'less', base + BigInt(total) + 99n),",
    tests: [
      by(
        'live/recipes/latch',
        'a request that was given up and is applied in the next round counts nobody there',
      ),
    ],
  },
  {
    name: 'barrier-hold-deaf-after-sleep',
    promise: 'a hold is given up at once, also while it is not known whether its session outlived a sleep',
    file: 'recipes/barrier.ts',
    find: 'await orAborted(this.#engine, [leaving.signal], this.#session.reliable())',
    replace: 'await this.#session.reliable()',
    tests: [
      by(
        'live/recipes/barrier',
        'a hold is given up at once while nobody says whether its session outlived the sleep of its machine',
      ),
    ],
  },
  {
    name: 'gathering-deaf-after-sleep',
    promise:
      'whoever enters is heard at once, also while it is not known whether its session outlived a sleep',
    file: 'recipes/internal/barrier/gather.ts',
    find: 'await orAborted(session.engine, [leaving.signal], session.reliable())',
    replace: 'await session.reliable()',
    tests: [
      by(
        'live/recipes/double-barrier',
        'whoever enters is heard at once while nobody says whether its session outlived the sleep of its machine',
      ),
    ],
  },
  {
    name: 'cyclic-barrier-status-without-end',
    promise: 'a status is waited for as long as was said',
    file: 'recipes/internal/barrier/rounds.ts',
    find: 'signal,\n      timeoutMs,',
    replace: 'signal,\n      timeoutMs: timeoutMs && undefined,',
    tests: [by('live/recipes/cyclic-barrier', 'a status is waited for as long as was said, and no longer')],
  },
  {
    name: 'latch-set-twice',
    promise: 'a count whose answer was lost is not set once more when rounds went by',
    file: 'recipes/latch.ts',
    find: "if (isInDoubt) throw this.#unknown('whether its count",
    replace: "if (isInDoubt && remaining(now) > 0) throw this.#unknown('whether its count",
    tests: [
      by(
        'live/recipes/latch',
        'a count whose answer was lost while two rounds went by is told as unknown, and no other is set',
      ),
    ],
  },
  {
    name: 'left-only-by-who-waits-for-it',
    promise: 'who leaves a double barrier has left, however long it waits for the others',
    file: 'recipes/double-barrier.ts',
    find: 'if (this.#left === undefined) {',
    replace: 'signal?.throwIfAborted()\n    if (this.#left === undefined) {',
    tests: [by('live/recipes/double-barrier', 'who will not wait at all to leave has left')],
    simulations: ['double-barrier'],
  },
  {
    name: 'released-only-by-who-waits-for-it',
    promise: 'who releases its hold of a barrier has released it, whether it waits for that or not',
    file: 'recipes/barrier.ts',
    find: 'if (this.#released === undefined) {',
    replace: 'signal?.throwIfAborted()\n    if (this.#released === undefined) {',
    tests: [by('live/recipes/barrier', 'a hold is released also by who will not wait for that')],
  },
  {
    name: 'refused-leave-never-repeated',
    promise: 'whoever was refused to leave a double barrier may try again',
    file: 'recipes/double-barrier.ts',
    find: 'this.#left = undefined',
    replace: 'void this.#left',
    tests: [
      by('live/recipes/double-barrier', 'whoever was refused to leave may try again when that is mended'),
    ],
  },
  {
    name: 'time-of-a-call-begins-anew',
    promise: 'the time given to a call is that of all its requests together',
    file: 'recipes/internal/call-time.ts',
    find: 'timeoutMs: Math.max(1, Math.ceil(untilMs - runtime.now()))',
    replace: 'timeoutMs: timeoutMs ?? requestTimeoutMs',
    tests: [by('live/recipes/latch', 'the time given to countDown is that of all its requests together')],
  },
  {
    name: 'close-forgets-holds-without-a-session',
    promise: 'a hold without a session that is given up is undone before its client has closed',
    file: 'src/client/client.ts',
    find: 'await within(runtime,',
    replace: 'void within(runtime,',
    tests: [
      by(
        'live/recipes/barrier',
        'a hold without a session that is given up just before its client is closed closes nothing',
      ),
    ],
  },
  {
    name: 'hold-under-way-unknown-to-close',
    promise: 'a hold without a session under way when its client is closed closes nothing',
    file: 'recipes/barrier.ts',
    find: 'owner.background(held.then(noop, noop))',
    replace: 'void owner',
    tests: [
      by(
        'live/recipes/barrier',
        'a hold without a session is given up when its client is closed, and closes nothing',
      ),
    ],
  },
  {
    name: 'release-without-a-session-in-nobodys-background',
    promise: 'a client that is closed waits for a release that nobody waits for',
    file: 'recipes/barrier.ts',
    find: 'owner.background(quiet)',
    replace: 'if (this.#session !== undefined) owner.background(quiet)',
    tests: [
      by(
        'live/recipes/barrier',
        'a client that is closed waits until a hold nobody waits to release is released',
      ),
    ],
  },
  {
    name: 'late-attempt-not-the-one-held',
    promise: 'a hold is of the attempt the key is of, whichever was answered',
    file: 'recipes/barrier.ts',
    find: 'this.#createRevision = found.createRevision',
    replace: 'this.#createRevision ??= found.createRevision',
    tests: [
      by(
        'live/recipes/barrier',
        'a hold whose late attempt replaced a key that Go released is the hold of that attempt',
      ),
    ],
  },
  {
    name: 'watched-value-opens-a-watch-after-the-end',
    promise: 'the loop over a watched value ends quietly when its client is closed',
    file: 'recipes/watched-value.ts',
    find: 'if (!client.isOpen) return',
    replace: 'if (!client.isOpen && revision < 0n) return',
    tests: [
      by(
        'live/recipes/counters',
        'a watched number ends when its client is closed by whoever takes the first one',
      ),
    ],
  },
  {
    name: 'watched-value-told-of-the-closing',
    promise: 'the loop over a watched value ends quietly when its client is closed while it reads',
    file: 'recipes/watched-value.ts',
    find: "if (!EtcdError.is(error, 'CLIENT_CLOSED')) throw error",
    replace: "if (!EtcdError.is(error, 'CLIENT_CLOSED') || client.space !== undefined) throw error",
    tests: [
      by(
        'live/recipes/counters',
        'a watched value ends when its client is closed while the first one is on its way',
      ),
    ],
  },
  {
    name: 'number-used-up-told-as-rejected',
    promise: 'a request for a number that may have used one up is not told to be rejected',
    file: 'recipes/sequence.ts',
    find: "throw this.#begunAnew('unknown')",
    replace: "throw this.#begunAnew('rejected')",
    tests: [
      by(
        'live/recipes/counters',
        'what counted on a key that was deleted before this sequence heard of it may be a number of the new count',
      ),
    ],
  },
]
