import { by, type Mutant } from '../mutant.ts'

/** Ghosts. */
export const ghosts: readonly Mutant[] = [
  {
    name: 'ghost-of-a-lock-not-watched',
    promise: 'after an unanswered attempt the own key stays under a watch, also once its repeat was granted',
    file: 'recipes/internal/line/creation.ts',
    find: 'onUnanswered: () => unanswered(stands),',
    replace: 'onUnanswered: () => unanswered([]),',
    tests: [
      by(
        'live/recipes/ghosts',
        'an attempt applied after its repeat was granted and released leaves no key behind',
      ),
    ],
    simulations: ['mutex'],
  },
  {
    name: 'ghost-of-a-try-lock-not-watched',
    promise: 'a late tryLock leaves no key behind',
    file: 'recipes/internal/line/vacancy.ts',
    find: 'onUnanswered: () => unanswered(created),',
    replace: 'onUnanswered: () => unanswered([]),',
    tests: [by('live/recipes/ghosts', 'a late tryLock leaves no key behind, although it would own')],
    simulations: ['mutex'],
  },
  {
    name: 'look-at-many-locks-counts-as-a-ghost',
    promise: 'what only looked whether many locks are free is nothing to keep an eye on',
    file: 'recipes/internal/line/vacancy.ts',
    find: 'const created = looks ? [] : stands',
    replace: 'const created = stands',
    tests: [
      by(
        'live/recipes/lock-all',
        'a look at many locks that gets no answer leaves no ghost to be waited for',
      ),
    ],
  },
  {
    name: 'ghost-before-the-watch-not-read',
    promise: 'a ghost that appears before its watch was created is found by reading after it',
    file: 'src/session/own-key.ts',
    find: 'opened: () => this.#sweep(),',
    replace: 'opened: () => {},',
    tests: [by('session/ghosts')],
    simulations: ['mutex'],
  },
  {
    name: 'one-ghost-stands-for-all',
    promise: 'each unanswered attempt is watched for until it is accounted for',
    file: 'src/session/own-key.ts',
    find: 'if (this.#ghosts > 0) return\n',
    replace: 'this.#ghosts = 0\n',
    tests: [by('session/ghosts')],
  },
  {
    name: 'ghost-that-appears-later-not-deleted',
    promise: 'an attempt applied after its caller gave up leaves no key behind',
    file: 'src/session/own-key.ts',
    find: 'if (events.some(({ kv }) => kv !== undefined && this.mayAdopt(kv.createRevision))) this.#sweep()',
    replace: '',
    tests: [by('session/ghosts')],
    simulations: ['mutex'],
  },
  {
    name: 'ghost-deleted-while-somebody-holds-the-key',
    promise: 'what appears is deleted only while nobody deals with the key',
    file: 'src/session/own-key.ts',
    find: 'const turn = await this.enter().catch(() => undefined)',
    replace: 'const turn: Turn | undefined = { end: () => {} }',
    tests: [by('session/ghosts')],
    simulations: ['mutex'],
  },
  {
    name: 'answer-without-sense-leaves-no-ghost-watch',
    promise: 'an answer that makes no sense leaves open whether the key will exist, so it is watched for',
    file: 'recipes/internal/line/claim.ts',
    find: 'unanswered(stands)\n    throw error',
    replace: 'unanswered([])\n    throw error',
    tests: [by('recipes/fencing')],
  },
  {
    name: 'unreadable-answer-taken-for-a-refusal',
    promise: 'an answer nobody can read leaves open what became of the request',
    file: 'src/client/submitter.ts',
    find: 'call.unanswered = true\n      call.submission.onUnanswered?.()\n      throw',
    replace: 'throw',
    tests: [by('client/unreadable-answers')],
    simulations: ['mutex'],
  },
  {
    name: 'abandoned-while-asking-leaves-no-ghost-watch',
    promise: 'a caller that leaves while its request is on its way counts as unanswered',
    file: 'src/client/submitter.ts',
    find: 'call.unanswered = true\n          onUnanswered?.()',
    replace: 'call.unanswered = true',
    tests: [by('session/opening')],
  },
  {
    name: 'reader-takes-over-a-ghost',
    promise: 'where many may hold together nobody takes over what an earlier attempt has left',
    file: 'recipes/internal/line/claim.ts',
    find: 'const haunted = own.isHaunted',
    replace: 'const haunted = own.isHaunted && wish.value.length === 0',
    tests: [
      by(
        'live/recipes/ghosts',
        'a reader takes over nothing an earlier attempt has left: others have had the lock since',
      ),
    ],
    simulations: ['rw-mutex'],
  },
  {
    name: 'ghost-of-whoever-had-the-lease-before-taken-over',
    promise: 'whoever resumes a lease takes over what was left with it, and nothing that appears later',
    file: 'recipes/internal/line/claim.ts',
    find: 'own.isHaunted || resumed\n',
    replace: 'own.isHaunted\n',
    tests: [
      by(
        'live/recipes/ghosts',
        'whoever resumes a lease takes over nothing that appears later: others have had the lock since',
      ),
    ],
  },
  {
    name: 'ghost-under-the-name-of-what-was-left-taken-over',
    promise: 'of a key that was left only the creation that was left is taken over',
    file: 'recipes/internal/line/claim.ts',
    find: 'haunted && createRevision !== left',
    replace: 'haunted && createRevision > 0n && left === undefined',
    tests: [
      by(
        'live/recipes/ghosts',
        'whoever resumes a lease takes over what was left, and not what appears later under its name',
      ),
    ],
  },
  {
    name: 'ghost-of-whoever-had-the-lease-before-stays',
    promise: 'a ghost of whoever had the lease before goes also when it is met by somebody who only tries',
    file: 'recipes/internal/line/vacancy.ts',
    find: 'if (isGhost(stand, mine.createRevision)) stand.own.unanswered()',
    replace: 'isGhost(stand, mine.createRevision)',
    tests: [
      by(
        'live/recipes/ghosts',
        'whoever resumes a lease takes over nothing that appears later: others have had the lock since',
      ),
    ],
  },
  {
    name: 'ghost-stays-while-its-turn-waits',
    promise: 'a ghost goes also while whoever has the turn of its key waits for the turn of another',
    file: 'recipes/internal/line/claim.ts',
    find: 'for (const stand of stands) stand.own.rest()',
    replace: '',
    tests: [
      by(
        'live/recipes/lock-all',
        'whoever waits for another task of its session keeps no ghost in the line: nobody waits in a circle',
      ),
    ],
    simulations: ['lock-all'],
  },
  {
    name: 'ghost-laid-for-whoever-has-gone-on',
    promise: 'whoever goes on while a ghost is looked for finds it itself',
    file: 'src/session/own-key.ts',
    find: 'return this.#layIf(() => this.#rest === rest)',
    replace: 'return this.#layIf(() => this.#rest === rest || true)',
    tests: [by('session/ghosts', 'a ghost goes while whoever has the turn waits for another')],
  },
  {
    name: 'ghost-laid-that-was-accounted-for',
    promise: 'what was read in one rest is nothing to go by in the next: each ghost is accounted for once',
    file: 'src/session/own-key.ts',
    find: 'return this.#layIf(() => this.#rest === rest)',
    replace: 'return this.#layIf(() => this.#rest !== undefined || this.#rest === rest)',
    tests: [
      by(
        'session/ghosts',
        'what was read before whoever has the turn went on is not laid while it rests again',
      ),
    ],
  },
  {
    name: 'try-lock-takes-over-what-was-written-over',
    promise: 'a key that somebody has written over and taken off its lease is no lock',
    file: 'recipes/internal/line/vacancy.ts',
    find: 'if (mine.lease !== leaseId) return undefined',
    replace: 'if (mine.lease !== leaseId && mine.lease !== 0n) return undefined',
    tests: [
      by('live/recipes/ghosts', 'what somebody wrote over before its repeat found it is no lock, and goes'),
    ],
  },
  {
    name: 'what-was-written-over-stays',
    promise:
      'a key of ours that somebody has written over goes when we find it so: no lease would take it away',
    file: 'recipes/internal/line/acquisition.ts',
    find: 'if (taken !== undefined) throw placeTaken(taken)',
    replace:
      'if (taken !== undefined) this.#createRevision = undefined\n      if (taken !== undefined) throw placeTaken(taken)',
    tests: [
      by(
        'live/recipes/ghosts',
        'what somebody wrote over before whoever resumes its lease found it is no lock, and goes',
      ),
    ],
  },
  {
    name: 'refused-look-leaves-the-ghost',
    promise: 'a ghost is looked for again when the cluster has refused to tell',
    file: 'src/session/own-key.ts',
    find: "if (error.outcome === 'rejected' || error.code === 'CLIENT_CLOSED') return this.#refused(error)",
    replace: "if (error.outcome === 'rejected' || error.code === 'CLIENT_CLOSED') return undefined",
    tests: [
      by(
        'session/ghosts',
        'a look for a ghost that is refused is made again until it is answered, and nobody waits for it',
      ),
      by('live/recipes/ghosts', 'a ghost goes although the look for it was refused once'),
    ],
  },
  {
    name: 'ghost-watch-that-ended-stays-so',
    promise: 'a watch for ghosts that the cluster has ended is opened again',
    file: 'src/session/own-key.ts',
    find: 'this.#ghostWatch = undefined\n          this.#refused(error)',
    replace: 'this.#refused(error)',
    tests: [by('session/ghosts', 'a watch for ghosts that has ended is opened again')],
  },
  {
    name: 'try-lock-gives-up-where-it-is-not-seen',
    promise: 'a try whose answer was lost finds its own key, also behind more than are read of the line',
    file: 'recipes/internal/line/vacancy.ts',
    find: 'if (!truncated) return undefined',
    replace: 'if (!truncated || far.length === 0) return undefined',
    tests: [
      by(
        'live/recipes/rw-mutex',
        'tryReadLock whose answer was lost finds itself, also behind a hundred readers',
      ),
    ],
  },
  {
    name: 'try-lock-passes-a-writer-it-does-not-see',
    promise: 'a place that was left is taken up by a try only if nobody before it is waited for, seen or not',
    file: 'recipes/internal/line/vacancy.ts',
    find: '.includes(false)) return undefined',
    replace: '.includes(false) && far.length === 0) return undefined',
    tests: [
      by(
        'live/recipes/rw-mutex',
        'what was left to read is taken up by tryReadLock behind any number of readers, and not behind a writer',
      ),
    ],
  },
]
