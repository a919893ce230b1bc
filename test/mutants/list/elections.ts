import { by, type Mutant } from '../mutant.ts'

/** Elections, and leaders that lead again. */
export const elections: readonly Mutant[] = [
  {
    name: 'proclamation-not-bound-to-the-last-write',
    promise: 'an attempt to proclaim that is applied late brings nothing back',
    file: 'recipes/internal/election/value.ts',
    find: "result: CompareResult.equal,\n      operand: { kind: 'modRevision', value: modRevision },",
    replace:
      "result: CompareResult.notEqual,\n      operand: { kind: 'modRevision', value: modRevision * 0n },",
    tests: [
      by(
        'live/recipes/election',
        'an attempt to proclaim that is applied late does not bring its value back',
      ),
    ],
  },
  {
    name: 'adopted-leadership-says-what-it-found',
    promise: 'who campaigns with a key that is there says what it wants to say',
    file: 'recipes/election.ts',
    find: 'if (!claim.adopted)',
    replace: 'if (claim.createRevision > 0n)',
    tests: [
      by(
        'live/recipes/election',
        'a campaign that finds the place of an earlier holder of the lease says what it wants to say',
      ),
    ],
  },
  {
    name: 'place-in-the-line-resumed',
    promise: 'only what leads is resumed',
    file: 'recipes/internal/election/resume.ts',
    find: 'head?.createRevision === createRevision &&',
    replace: '(head?.createRevision ?? 0n) <= createRevision &&',
    tests: [by('live/recipes/election', 'only what leads is resumed: a place in the line is not, and stays')],
  },
  {
    name: 'observation-restarts-after-a-break',
    promise: 'an observer misses nothing while its connection is broken',
    file: 'recipes/internal/election/observation.ts',
    find: "onBreak: 'resume',",
    replace: "onBreak: 'restart',",
    tests: [by('live/recipes/election', 'an observer misses nothing while its connection is broken')],
  },
  {
    name: 'leader-claimed-beside-another',
    promise: 'a vacancy is claimed only while nobody leads',
    file: 'recipes/internal/lead/candidate-wire.ts',
    find: 'compare: [empty(keys.leaders), createdAtWire(candidate.own.key, candidateRevision)],',
    replace: 'compare: [createdAtWire(candidate.own.key, candidateRevision)],',
    tests: [
      by('live/recipes/lead', 'a candidate that has not heard of the new leader does not lead beside it'),
    ],
    simulations: ['lead'],
  },
  {
    name: 'leader-never-seen-waited-for',
    promise: 'a candidate whose claim was refused for a leader that came and went unseen claims again',
    file: 'recipes/internal/watched-keys.ts',
    find: 'this.#listener.unchanged?.(this.#revision)',
    replace: 'this.#listener.unchanged?.(0n)',
    tests: [by('live/recipes/lead', 'a candidate whose claim was refused for one it never saw claims again')],
  },
  {
    name: 'candidate-while-it-rests',
    promise: 'who rests after a campaign that failed keeps nobody else from leading',
    file: 'recipes/internal/lead/loop.ts',
    find: 'await session.close().catch(() => {})\n      await this.#restAfter(error)',
    replace: 'await this.#restAfter(error)',
    tests: [
      by('live/recipes/lead', 'whoever rests from a failure is no candidate'),
      by(
        'live/recipes/lead',
        'an attempt to stand that is applied while it rests from a failure stands in nobody’s way',
      ),
    ],
  },
  {
    name: 'leads-on-what-it-may-not-proclaim',
    promise: 'a leader that may not write its key lets its session go',
    file: 'recipes/internal/lead/loop.ts',
    find: 'await this.#giveUp(session, term)\n        return proclaimed',
    replace: 'return proclaimed',
    tests: [
      by(
        'live/recipes/rights',
        'a leader that may not proclaim what it makes of its token does not keep its key alive',
      ),
    ],
  },
  {
    name: 'stopped-when-told-unhealthy',
    promise: 'lead may be stopped by whoever hears that it is not well',
    file: 'recipes/internal/lead/loop.ts',
    find: "this.#tell({ kind: 'unhealthy' })\n    // Whoever was told may have stopped it.\n    if (this.#stop.aborted) return",
    replace: "this.#tell({ kind: 'unhealthy' })",
    tests: [by('live/recipes/lead', 'lead may be stopped by whoever hears of any of its states')],
  },
  {
    name: 'unanswered-candidacy-not-watched',
    promise: 'a first attempt that is applied late stands in nobody’s way',
    file: 'recipes/internal/lead/candidate-wire.ts',
    find: 'onUnanswered: () => unanswered(both),',
    replace: 'onUnanswered: () => unanswered([]),',
    tests: [by('live/recipes/lead', "a first attempt that is applied while it rests stands in nobody's way")],
  },
  {
    name: 'candidacy-found-looked-out-for',
    promise: 'a key that an attempt without an answer has made is looked out for no more',
    file: 'recipes/internal/lead/candidate-wire.ts',
    find: "if (!part(registration, 'txn').succeeded) recognise(stands, standing)",
    replace: '',
    tests: [
      by(
        'live/recipes/lead',
        'a candidate found to have come by an attempt without an answer is looked out for no more',
      ),
    ],
  },
  {
    name: 'candidate-written-over-stands-for-ever',
    promise: 'a candidate whose key somebody wrote over becomes one again',
    file: 'recipes/internal/lead/candidate-campaign.ts',
    find: 'if (candidateOf(standing.candidate, this.#keys) !== undefined) continue',
    replace: 'if (standing.candidate !== undefined) continue',
    tests: [
      by(
        'live/recipes/lead',
        'a candidate whose key somebody writes over becomes one again, and leaves nothing',
      ),
    ],
  },
  {
    name: 'stopped-lead-rejects-with-its-client',
    promise: 'lead that was stopped resolves',
    file: 'recipes/internal/lead/loop.ts',
    find: 'if (reason !== undefined && this.#stop.signal.reason === reason) throw reason',
    replace: 'if (reason !== undefined) throw reason',
    tests: [
      by(
        'live/recipes/lead',
        'lead that was stopped resolves, also when the client is closed before it has ended',
      ),
    ],
  },
  {
    name: 'leads-with-a-dead-session',
    promise: 'whoever is made the leader while its session is over begins no term',
    file: 'recipes/internal/lead/candidate-campaign.ts',
    find: '[this.#signal], this.#session.reliable())',
    replace: '[this.#signal], Promise.resolve())',
    tests: [
      by('live/recipes/lead', 'whoever is made the leader while its session is over does not begin a term'),
    ],
  },
  {
    name: 'next-term-before-the-last-has-settled',
    promise: 'the next term never begins before the function of the last has settled',
    file: 'recipes/internal/lead/loop.ts',
    find: 'const settled = await work',
    replace: "const settled = await Promise.race([work, Promise.resolve<Settled>({ kind: 'returned' })])",
    tests: [
      by('live/recipes/lead', 'the next term does not begin before the function of the last has settled'),
    ],
    simulations: ['lead'],
  },
  {
    name: 'no-grace-period',
    promise: 'a leader that has to go leads on while its function puts things in order',
    file: 'recipes/internal/lead/loop.ts',
    find: 'await within(this.#client.engine.runtime, this.#plan.gracePeriodMs, work)',
    replace: 'await within(this.#client.engine.runtime, 0, work)',
    tests: [
      by(
        'live/recipes/lead',
        'it still leads until the function has put things in order, and no longer than the grace period',
      ),
    ],
  },
  {
    name: 'nobody-handed-the-leadership',
    promise: 'whoever resigns hands over in the same transaction',
    file: 'recipes/internal/lead/hand-over.ts',
    find: 'const TRIES = 3',
    replace: 'const TRIES = 0',
    tests: [
      by(
        'live/recipes/lead',
        'whoever resigns makes the next candidate the leader, at one revision, with a larger token',
      ),
    ],
  },
  {
    name: 'better-candidate-served-at-once',
    promise: 'a better candidate has to stay before a leader makes room',
    file: 'recipes/internal/lead/preemption.ts',
    find: 'engine.runtime.setTimer(stabilizationMs, () => due(better))',
    replace: 'engine.runtime.setTimer(0 * stabilizationMs, () => due(better))',
    tests: [
      by(
        'live/recipes/lead',
        'a leader makes room for somebody better only if asked to, and only for one who stays',
      ),
    ],
  },
  {
    name: 'campaign-deaf-after-sleep',
    promise:
      'whoever campaigns is heard at once, also while it is not known whether its session outlived a sleep',
    file: 'recipes/election.ts',
    find: 'await orAborted(session.engine, [abort.signal], session.reliable())',
    replace: 'await session.reliable()',
    tests: [
      by(
        'live/recipes/election',
        'whoever campaigns with what was left to it is heard at once while nobody says whether its session outlived the sleep of its machine',
      ),
    ],
  },
  {
    name: 'observer-jumps-to-what-it-read',
    promise: 'an observer whose watch is late when it looks again skips nothing',
    file: 'recipes/internal/election/observation.ts',
    find: 'return this.#watch(control)',
    replace: 'return this.#rebase(control)',
    tests: [by('live/recipes/election', 'an observer whose watch is late when it looks again skips nothing')],
    simulations: ['election'],
  },
  {
    name: 'observer-searches-in-vain-for-ever',
    promise: 'an observer finds what was lost before the last it was told',
    file: 'recipes/internal/election/observation.ts',
    find: 'if (this.#searchedFrom !== this.#revision)',
    replace: 'if (this.#searchedFrom !== -1n)',
    tests: [
      by(
        'live/recipes/election',
        'an observer that was not told of a change finds it, though it was told of a later one',
      ),
    ],
  },
  {
    name: 'observer-forgets-what-it-searches-for',
    promise: 'what an observer searches for is found at the latest when it is told of something later',
    file: 'recipes/internal/election/observation.ts',
    find: 'this.#control = missing',
    replace: '',
    tests: [
      by(
        'live/recipes/election',
        'an observer that looks for a change it was not told of has found it with the next one',
      ),
    ],
  },
  {
    name: 'resuming-given-up-waits-for-the-lease',
    promise: 'whoever gives up resuming hears of it at once, also while the session is in doubt',
    file: 'recipes/internal/election/resume.ts',
    find: 'await orAborted(session.engine, [abort.signal], session.reliable())',
    replace: 'await orAborted(session.engine, [], session.reliable())',
    tests: [
      by(
        'live/recipes/election',
        'whoever gives up resuming hears of it at once, also while it is asked whether the session still exists',
      ),
    ],
  },
]
