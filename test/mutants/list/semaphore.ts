import { by, type Mutant } from '../mutant.ts'

/** The semaphore. */
export const semaphore: readonly Mutant[] = [
  {
    name: 'semaphore-barging',
    promise: 'a free permit is taken directly only if nobody waits',
    file: 'recipes/internal/semaphore/slot-wire.ts',
    find: 'compare: [limitIs(keys, limit), empty(keys.waiters), sure],',
    replace: 'compare: [limitIs(keys, limit), sure],',
    tests: [
      by(
        'live/recipes/semaphore',
        'several permits come at once or not at all, and nobody passes who waits for them',
      ),
    ],
    simulations: ['semaphore'],
  },
  {
    name: 'semaphore-over-a-lowered-limit',
    promise: 'whoever holds beyond a lowered limit counts against it',
    file: 'recipes/internal/semaphore/slot-memory.ts',
    find: 'if (held.length + count > limit) return undefined',
    replace: 'if (held.filter(slot => slot < limit).length + count > limit) return undefined',
    tests: [
      by(
        'live/recipes/semaphore',
        'more permits wake who waits; fewer take none away and give none until enough were released',
      ),
    ],
  },
  {
    name: 'semaphore-head-compares-another-limit',
    promise: 'the head claims under the limit under which it counted what is free',
    file: 'recipes/internal/semaphore/slot-head.ts',
    find: 'claimAsHead(this.#wish, limit, alternatives,',
    replace: 'claimAsHead(this.#wish, limit && this.#pool.limit.raw, alternatives,',
    tests: [
      by(
        'live/recipes/semaphore',
        'the head takes nothing that was free under a limit that is not the one it compares',
      ),
    ],
  },
  {
    name: 'semaphore-limit-set-again-by-try',
    promise: 'whoever has once written its number of permits leaves later changes alone',
    file: 'recipes/internal/semaphore/slot-try.ts',
    find: "if (answer.kind !== 'other-limit') limit.agreed()",
    replace: "if (answer.kind === 'missed') limit.agreed()",
    tests: [
      by(
        'live/recipes/semaphore',
        'whoever has once written its number of permits leaves later changes alone, however it asks for permits',
      ),
    ],
  },
  {
    name: 'semaphore-slot-not-compared',
    promise: 'a slot is one holder’s at a time',
    file: 'recipes/internal/semaphore/slot-wire.ts',
    find: 'compare: slots.map(slot => createdAtWire(keys.slot(slot), 0n)),',
    replace: 'compare: slots.slice(1).map(slot => createdAtWire(keys.slot(slot), 0n)),',
    tests: [
      by(
        'live/recipes/semaphore',
        'permits are given up to the limit, with the lowest free number and a larger token each',
      ),
    ],
    simulations: ['semaphore'],
  },
  {
    name: 'semaphore-head-stays-in-line',
    promise: 'the head leaves the line in the transaction that takes the slots',
    file: 'recipes/internal/semaphore/slot-wire.ts',
    find: 'slots => [...putsOf(wish, slots), leave], look),',
    replace: 'slots => [...putsOf(wish, slots), ...[leave].slice(1)], look),',
    tests: [by('live/recipes/semaphore', 'permits are given in the order in which they were asked for')],
    simulations: ['semaphore'],
  },
  {
    name: 'semaphore-head-claim-unguarded',
    promise: 'a claim of the head does nothing once its place is gone',
    file: 'recipes/internal/semaphore/slot-wire.ts',
    find: '      createdAtWire(key, createRevision),\n      limitIs(keys, limit),',
    replace: '      limitIs(keys, limit),',
    tests: [
      by(
        'live/recipes/semaphore',
        'an attempt of the head that is given up unanswered can take nothing once its place is gone',
      ),
    ],
    simulations: ['semaphore'],
  },
  {
    name: 'semaphore-late-claim-of-the-head-taken-for-a-loss',
    promise: 'a claim of the head that is applied late is a permit, not the loss of its place',
    file: 'recipes/internal/semaphore/slot-head.ts',
    find: 'if (this.#mayHold) return this.#askAgain()',
    replace: 'if (this.#mayHold && this.#news !== undefined) return this.#askAgain()',
    tests: [
      by(
        'live/recipes/semaphore',
        'a claim of the head that is applied long after its repeat was refused is a permit all the same',
      ),
    ],
  },
  {
    name: 'semaphore-head-gives-up-in-passing-trouble',
    promise: 'the head waits on while its claims fail in passing',
    file: 'recipes/internal/semaphore/slot-head.ts',
    find: "isFinal(error) || error.code === 'PROTOCOL') throw error",
    replace: "isFinal(error) || error.code !== 'PROTOCOL') throw error",
    tests: [
      by(
        'live/recipes/semaphore',
        'the head waits on while its claims fail for as long as a request may take',
      ),
    ],
  },
  {
    name: 'semaphore-head-misses-news-while-busy',
    promise: 'the head hears of what it was told while it was busy',
    file: 'recipes/internal/semaphore/slot-head.ts',
    find: 'if (this.#news !== undefined) this.#tell(this.#news)',
    replace: 'if (this.#news !== undefined && this.#ended !== undefined) this.#tell(this.#news)',
    tests: [by('live/recipes/semaphore', 'the head hears of every release, also of several in one message')],
  },
  {
    name: 'semaphore-ghosts-not-watched',
    promise: 'what unanswered claims take later is given back',
    file: 'recipes/internal/semaphore/slot-ghosts.ts',
    find: '    this.#suspects.set(name, suspect)\n    this.#open()',
    replace: '    this.#suspects.set(name, suspect)',
    tests: [
      by(
        'live/recipes/semaphore',
        'a claim that is applied after its repeat was granted and released is given back',
      ),
    ],
    simulations: ['semaphore'],
  },
  {
    name: 'semaphore-ghosts-watch-strikes-its-successor',
    promise: 'a watch for what unanswered claims take ends once, and leaves the next one alone',
    file: 'recipes/internal/semaphore/slot-ghosts.ts',
    find: 'while (this.#sweepAgain && this.#suspects.size > 0)',
    replace: 'while (this.#sweepAgain)',
    tests: [
      by(
        'live/recipes/semaphore',
        'what an unanswered claim took is given back, also right after another one was',
      ),
    ],
  },
  {
    name: 'semaphore-gives-what-was-left-unseen',
    promise: 'a permit that was left with a lease is given only if it is still there',
    file: 'recipes/internal/semaphore/left-slots.ts',
    find: 'now?.some(taken => isSame(taken, wanted))',
    replace: 'now === undefined || isSame(wanted, wanted)',
    tests: [
      by(
        'live/recipes/semaphore',
        'a permit that was left with a lease and is somebody else’s by now is given to nobody',
      ),
    ],
  },
  {
    name: 'semaphore-loses-what-was-left-to-whoever-gave-up',
    promise: 'whoever gives up before it was given what was left leaves it to the next',
    file: 'recipes/internal/semaphore/left-slots.ts',
    find: 'left.unshift(wanted)',
    replace: '',
    tests: [
      by(
        'live/recipes/semaphore',
        'whoever gives up while it is seen whether a permit is still there leaves it to the next',
      ),
    ],
  },
  {
    name: 'semaphore-ghosts-forgotten-by-orphan',
    promise: 'orphan gives back what unanswered claims took, also of those still asked for when it begins',
    file: 'recipes/internal/semaphore/slot-ghosts.ts',
    find: 'if (this.#suspects.size > 0) this.#sweep()',
    replace: 'this.#stop()\n    if (this.#suspects.size > 0) this.#sweep()',
    tests: [
      by(
        'live/recipes/semaphore',
        'orphan gives back what an attempt without an answer has taken, also while its repeat is on its way',
      ),
    ],
  },
  {
    name: 'semaphore-sweeps-what-was-told',
    promise: 'a permit somebody was told of is no ghost',
    file: 'recipes/internal/semaphore/slot-ghosts.ts',
    find: 'if (createRevision === state.kept) continue',
    replace: '',
    tests: [
      by(
        'live/recipes/semaphore',
        'a claim that is applied late, while its repeat is held, takes no second permit',
      ),
    ],
    simulations: ['semaphore'],
  },
  {
    name: 'semaphore-aborted-head-claim-kept',
    promise: 'slots that a claim of the head took after it was given up are given back',
    file: 'recipes/internal/semaphore/slot-acquisition.ts',
    find: 'if (this.#head?.mayHold === true && this.#taken === undefined)',
    replace: 'if (this.#wish === undefined)',
    tests: [
      by(
        'live/recipes/semaphore',
        'an attempt of the head that is given up unanswered can take nothing once its place is gone',
      ),
    ],
  },
  {
    name: 'lock-with-delay-lost-to-passing-trouble',
    promise: 'waiting for a lock ends by the grant, the signal or the session, not by trouble that passes',
    file: 'recipes/internal/mutex/lock-delay.ts',
    find: "againMs: how === 'lock' ? AGAIN_MS : undefined",
    replace: "againMs: how === 'lock' ? undefined : AGAIN_MS",
    tests: [
      by(
        'live/recipes/mutex-options',
        'whoever has waited for a lock with a delay does not lose it to trouble that passes; whoever tries is told',
      ),
    ],
  },
  {
    name: 'lock-delay-not-waited',
    promise: 'after a loss nobody believes before the delay is over',
    file: 'recipes/internal/mutex/lock-delay.ts',
    find: 'await sleep(this.#session.engine.runtime, this.#delayMs, this.#abandoned.signal)',
    replace: '',
    tests: [
      by(
        'live/recipes/mutex-options',
        'after a loss nobody is told that it has the lock before the delay is over',
      ),
    ],
  },
  {
    name: 'break-unguarded',
    promise: 'a lock is broken by its token, and no newer holder is hit',
    file: 'recipes/internal/mutex/revocation.ts',
    find: 'compare: [createdAtWire(key, createRevision)],',
    replace: 'compare: [],',
    tests: [
      by('live/recipes/mutex-options', 'a holder that is replaced between the look and the deed is not hit'),
    ],
  },
  {
    name: 'request-that-was-heard-counts-as-unheard',
    promise: 'whoever asked a holder, who heard it and has left, is told whom it asked',
    file: 'recipes/internal/mutex/revocation.ts',
    find: 'return succeeded || unanswered\n  } finally',
    replace: 'return succeeded\n  } finally',
    tests: [
      by(
        'live/recipes/mutex-options',
        'a request that was heard, and whose answer was lost, has asked somebody',
      ),
    ],
  },
  {
    name: 'rest-of-left-permits-stays',
    promise: 'of permits left with a lease that are lost in part the rest goes, too',
    file: 'recipes/internal/semaphore/left-slots.ts',
    find: 'for (const rest of taken.filter(isBroken))',
    replace: 'for (const rest of taken.filter(() => false))',
    tests: [
      by('live/recipes/semaphore', 'of permits left with a lease that are lost in part the rest goes, too'),
    ],
    simulations: ['semaphore'],
  },
  {
    name: 'semaphore-refusal-taken-for-nothing',
    promise: 'whoever may not look for what it may have been given does not go on as if that were nothing',
    file: 'recipes/internal/semaphore/slot-ghosts.ts',
    find: "if (!EtcdError.is(error) || (whenRefused === 'throws' && isFinal(error))) throw error",
    replace:
      "if (!EtcdError.is(error)) throw error\n      if (whenRefused === 'throws' && isFinal(error)) return undefined",
    tests: [
      by(
        'live/recipes/semaphore',
        'a claim of the head whose answer was lost and that nobody may look for takes nothing, and is no loss',
      ),
    ],
  },
  {
    name: 'semaphore-given-back-unless-refused',
    promise: 'what unanswered claims took is given back as soon as it may be looked for',
    file: 'recipes/internal/semaphore/slot-ghosts.ts',
    find: "if (error.code === 'CLIENT_CLOSED') return undefined",
    replace: 'if (isFinal(error)) return undefined',
    tests: [
      by(
        'live/recipes/semaphore',
        'a claim whose answer was lost and that nobody may look for is refused, and what it took is given back',
      ),
    ],
  },
  {
    name: 'semaphore-refused-look-remembered',
    promise: 'what was left is looked for again after a look was refused',
    file: 'recipes/internal/semaphore/left-slots.ts',
    find: 'left.catch(() => ofSession.delete(name))',
    replace: 'left.catch(() => {})',
    tests: [
      by(
        'live/recipes/semaphore',
        'a permit that was left with a lease and may not be looked for is given to the next',
      ),
    ],
  },
  {
    name: 'semaphore-left-place-stays',
    promise: 'a place that a crash left goes with whoever is given a permit that was left',
    file: 'recipes/internal/semaphore/slot-acquisition.ts',
    find: '?? this.#left',
    replace: '?? (this.#head && this.#left)',
    tests: [
      by(
        'live/recipes/semaphore',
        'a place that a crash left in the line goes with whoever is given a permit that was left',
      ),
    ],
  },
  {
    name: 'semaphore-part-taken-for-a-permit',
    promise: 'what is left of a claim a part of which is gone is no permit',
    file: 'recipes/internal/semaphore/slot-ghosts.ts',
    find: 'taken.find(one => one.keys.length === count)',
    replace: 'taken.find(one => one.keys.length <= count)',
    tests: [
      by(
        'live/recipes/semaphore',
        'what a claim whose answer was lost has taken is no permit when a part of it is gone by then',
      ),
    ],
  },
  {
    name: 'semaphore-part-taken-for-a-permit-by-the-head',
    promise: 'nor is it one of the head',
    file: 'recipes/internal/semaphore/slot-head.ts',
    find: 'if (taken?.keys.length === count) {',
    replace: 'if (taken !== undefined && taken.keys.length <= count) {',
    tests: [
      by(
        'live/recipes/semaphore',
        'what a claim of the head whose answer was lost has taken is lost with a part of it',
      ),
    ],
  },
  {
    name: 'semaphore-head-sleeps-by-an-old-limit',
    promise: 'the head asks how many permits there are after a claim that failed in passing',
    file: 'recipes/internal/semaphore/slot-head.ts',
    find: '            seen = undefined\n            continue',
    replace: '            continue',
    tests: [
      by(
        'live/recipes/semaphore',
        'the head asks how many permits there are after a claim that failed in passing, whatever others were told late',
      ),
    ],
  },
]
