import { by, type Mutant } from '../mutant.ts'

/** Transactions. */
export const transactions: readonly Mutant[] = [
  {
    name: 'stm-gains-of-a-range-not-compared',
    promise: 'a key that appears in a range that was read is a conflict',
    file: 'recipes/internal/stm/batch.ts',
    find: "if (isolation !== 'repeatable-reads') {",
    replace: 'if (at.revision === -1n) {',
    tests: [by('live/recipes/stm', 'phantom insert: each level does what it says')],
    simulations: ['stm'],
  },
  {
    name: 'stm-losses-of-a-range-not-compared',
    promise: 'a key that disappears from a range that was read is a conflict',
    file: 'recipes/internal/stm/batch.ts',
    find: 'for (const { key, written } of items) saw(key, written)',
    replace: 'void items',
    tests: [by('live/recipes/stm', 'phantom delete: each level does what it says')],
  },
  {
    name: 'stm-absence-not-compared',
    promise: 'a key that was not there when it was read must still not be there',
    file: 'recipes/internal/stm/batch.ts',
    find: 'saw(interval.from, items[0]?.written ?? ABSENT)',
    replace: 'if (items[0] !== undefined) saw(interval.from, items[0].written)',
    tests: [by('live/recipes/stm', 'two who create the same key: each level does what it says')],
  },
  {
    name: 'stm-blind-write-not-guarded',
    promise: 'at the default level a key that is only written was written by nobody else meanwhile',
    file: 'recipes/internal/stm/batch.ts',
    find: "if (isolation !== 'serializable-snapshot') return conditions",
    replace: 'if (isolation !== undefined) return conditions',
    tests: [by('live/recipes/stm', 'overwriting what was not read: each level does what it says')],
  },
  {
    name: 'stm-reads-not-pinned',
    promise: 'all reads of a transaction are of one revision',
    file: 'recipes/internal/stm/view.ts',
    find: 'await this.#reader.read(interval, limit, base).answer',
    replace: 'await this.#reader.read(interval, limit, base < 0n ? base : undefined).answer',
    tests: [
      by(
        'live/recipes/stm',
        'read skew: seen by no run at the serializable levels, committed on at none but read-committed',
      ),
    ],
  },
  {
    name: 'stm-reads-apart-not-pinned',
    promise: 'reads that travel apart, because one of them was refused, are of one revision all the same',
    file: 'recipes/internal/stm/reader.ts',
    find: 'void this.#send(at, [question])',
    replace: 'void this.#send(revision, [question])',
    tests: [
      by(
        'live/recipes/stm-auth',
        'what is read apart from a question that is not allowed is of one revision all the same',
      ),
    ],
  },
  {
    name: 'stm-forgotten-read-unhandled',
    promise: 'when a read has failed, another of the run that nobody waits for is no unhandled rejection',
    file: 'recipes/internal/stm/transaction.ts',
    find: 'if (attempt.isSpoilt) told.catch(() => {})',
    replace: 'void [attempt, told]',
    tests: [
      by(
        'live/recipes/stm-edges',
        'a read that nobody waits for any more, since another has failed, is no unhandled rejection',
      ),
    ],
  },
  {
    name: 'stm-read-taken-for-commit',
    promise: 'a transaction that could not read is known to have written nothing',
    file: 'recipes/internal/stm/run.ts',
    find: 'throw notSent(verdict.error)',
    replace: 'throw [notSent, verdict.error][1]',
    tests: [by('live/recipes/stm', 'a transaction that could not read says that nothing was committed')],
  },
  {
    name: 'stm-confirmation-taken-for-commit',
    promise: 'a transaction that only read is known to have written nothing',
    file: 'recipes/internal/stm/run.ts',
    find: 'return finished.log.isEmpty ?',
    replace: 'return batch.bytes < 0 ?',
    tests: [
      by(
        'live/recipes/stm-edges',
        'one that only read is known to have written nothing, also when nobody confirms what it read',
      ),
    ],
  },
  {
    name: 'stm-batch-blind-to-itself',
    promise: 'in a batch each transaction sees what those before it have written',
    file: 'recipes/internal/stm/view.ts',
    find: 'this.#pending = batch.writes',
    replace: 'this.#pending = new (batch.writes.constructor as new () => typeof batch.writes)()',
    tests: [
      by('live/recipes/stm', 'transactions of one client on one key are committed together, and count'),
    ],
    simulations: ['stm'],
  },
  {
    name: 'stm-wake-up-lost-to-the-own-batch',
    promise: 'who waits is woken by those behind it in its own batch',
    file: 'recipes/internal/stm/lane.ts',
    find: "changed ? { kind: 'changed' }",
    replace: "changed && seats.length === 0 ? { kind: 'changed' }",
    tests: [by('live/recipes/stm', 'a retry in a batch is woken by the write of one behind it')],
  },
  {
    name: 'stm-wake-ups-bounded',
    promise: 'waiting until something changes has no bound, however often something does',
    file: 'recipes/internal/stm/lane.ts',
    find: "changed ? { kind: 'changed' }",
    replace: "changed ? { kind: 'again' }",
    tests: [by('live/recipes/stm', 'one that waits among many that write waits as long as it takes')],
  },
  {
    name: 'stm-intermediate-value-trusted',
    promise: 'who outlasts its batch has seen what the batch came to, not what a later member overwrote',
    file: 'recipes/internal/stm/batch.ts',
    find: 'return last.value === done.value',
    replace: 'return true',
    tests: [
      by(
        'live/recipes/stm',
        'functions that take their time in the middle of a batch lose no update, and get their turn',
      ),
    ],
  },
  {
    name: 'stm-unconfirmed-read-older-than-the-call',
    promise: 'what nothing confirms is read of a state no older than the call',
    file: 'recipes/internal/stm/lane.ts',
    find: 'const isRecent = member.began < this.#asOf',
    replace: 'const isRecent = true',
    tests: [by('live/recipes/stm-edges', 'a snapshot read in a batch is not older than its call')],
  },
  {
    name: 'stm-written-over-by-one-behind',
    promise: 'who outlasts its batch does not overwrite unseen what one behind it in the batch has written',
    file: 'recipes/internal/stm/member.ts',
    find: 'before !== undefined && batch.endsWith(interval.from, before)',
    replace: 'before !== undefined',
    tests: [
      by(
        'live/recipes/stm-edges',
        'one that stepped aside does not overwrite what one behind it in its batch has written',
      ),
    ],
  },
  {
    name: 'stm-foreign-writes-beside-the-batch-deleted',
    promise: 'who outlasts its batch overwrites nothing that others wrote in a range meanwhile',
    file: 'recipes/internal/stm/member.ts',
    find: 'return before !== undefined && batch.endsWith(interval.from, before) ?',
    replace:
      'return !isOneKey(interval) && pending.writesTo(interval) || before !== undefined && batch.endsWith(interval.from, before) ?',
    tests: [
      by(
        'live/recipes/stm-edges',
        'one that stepped aside deletes nothing of a range that others wrote beside its batch',
      ),
    ],
  },
  {
    name: 'stm-watch-from-too-late',
    promise: 'the watch of a retry begins with the revision after the read',
    file: 'recipes/internal/stm/wait.ts',
    find: 'startRevision: since + 1n',
    replace: 'startRevision: since + 2n',
    tests: [by('live/recipes/stm', 'a change between the read and the watch wakes a retry')],
  },
  {
    name: 'stm-left-branch-leaves-writes',
    promise: 'the writes of a branch that retries are dropped',
    file: 'recipes/internal/stm/transaction.ts',
    find: 'return new Scope(this.attempt, new WriteLog(), this)',
    replace: 'return new Scope(this.attempt, this.log, this)',
    tests: [
      by('live/recipes/stm', 'orElse drops what the left side wrote, keeps what it read, and waits for both'),
    ],
  },
  {
    name: 'stm-marker-not-read',
    promise: 'a marker that is there says that the commit was made',
    file: 'recipes/internal/stm/marker.ts',
    find: 'return found?.createRevision',
    replace: 'return undefined',
    tests: [
      by(
        'live/recipes/stm',
        'a commit without an answer that was applied: unknown, or found out with exactlyOnce',
      ),
    ],
    simulations: ['stm'],
  },
  {
    name: 'stm-leaver-committed',
    promise: 'who leaves before the commit is sent leaves nothing behind',
    file: 'recipes/internal/stm/commit.ts',
    find: 'if (!isWanted())',
    replace: 'if (markers === undefined && !isWanted())',
    tests: [
      by(
        'live/recipes/stm-edges',
        'one that leaves while its batch waits for a lease of markers writes nothing',
      ),
    ],
  },
  {
    name: 'stm-runs-for-nobody',
    promise: 'a function does not run again for a caller that has left',
    file: 'recipes/internal/stm/run.ts',
    find: 'if (this.#member.isOver) throw',
    replace: 'if (this.#member.isOver && this.#member.runs === 0) throw',
    tests: [
      by(
        'live/recipes/stm-edges',
        'a call that was aborted between two attempts runs no more and writes nothing',
      ),
    ],
  },
  {
    name: 'stm-travels-with-its-rival',
    promise: 'commits on the same keys never travel in one request, where neither would notice the other',
    file: 'recipes/internal/stm/lane.ts',
    find: "this.#abandoned ? 'none' : 'welcome'",
    replace: "this.#abandoned && seats.length === 0 ? 'none' : 'welcome'",
    tests: [
      by(
        'live/recipes/stm-edges',
        'whoever a batch waiting for a lease of markers has let go does not travel with it',
      ),
    ],
  },
  {
    name: 'stm-let-go-and-forgotten',
    promise:
      'a call whose function is over before its first read gets its turn hears of it when its lane lets go',
    file: 'recipes/internal/stm/member.ts',
    find: 'suspended === undefined || this.#attempt?.isOver',
    replace: 'suspended === undefined || this.#attempt === undefined',
    tests: [
      by(
        'live/recipes/stm-edges',
        'one that failed before its first read got its turn hears of it when the batch lets go of it',
      ),
    ],
  },
  {
    name: 'stm-read-behind-the-end-unhandled',
    promise: 'a read in a batch that the function did not wait for is no unhandled rejection',
    file: 'recipes/internal/stm/attempt.ts',
    find: "this.#spoilt ??= { kind: 'unread', error }\n      throw error\n    })",
    replace: 'throw error\n    })',
    tests: [
      by(
        'live/recipes/stm-edges',
        'a read that nobody waits for any more, since another has failed, is no unhandled rejection',
      ),
    ],
  },
  {
    name: 'stm-two-states-trusted',
    promise: 'a key that was seen in two states is in neither of them for sure',
    file: 'recipes/internal/stm/batch.ts',
    find: 'written : NEVER)',
    replace: 'written : written)',
    tests: [
      by(
        'live/recipes/stm-edges',
        'repeatable reads: what was read twice in different ways is the same at the commit',
      ),
    ],
  },
  {
    name: 'stm-error-of-no-state-told',
    promise: 'an error is told when the state it was found in is known to have been',
    file: 'recipes/internal/stm/run.ts',
    find: 'if (finished.log.isEmpty && view.isOneState)',
    replace: "if (finished.log.isEmpty && (view.isOneState || outcome.kind === 'error'))",
    tests: [
      by(
        'live/recipes/stm-edges',
        'repeatable reads: nobody hears of an error found in a state that never was',
      ),
    ],
  },
  {
    name: 'stm-readers-bounded-in-a-lane',
    promise: 'what only reads has no bound, in a batch either',
    file: 'recipes/internal/stm/lane.ts',
    find: 'if (finished.log.isEmpty) member.goApart()',
    replace: 'if (finished.log.isEmpty && batch.bytes < 0) member.goApart()',
    tests: [by('live/recipes/stm-edges', 'reading has no bound in the company of writers either')],
  },
  {
    name: 'stm-chains-stop-batches-for-ever',
    promise: 'one that reads and reads is not begun anew in every batch',
    file: 'recipes/internal/stm/lane.ts',
    find: 'if (member.mayStopBatch())',
    replace: 'if (member.mayStopBatch() || batch.bytes >= 0)',
    tests: [
      by('live/recipes/stm-edges', 'a chain of reads gets its turn among those that write what it reads'),
    ],
  },
  {
    name: 'stm-doubt-shared',
    promise: 'who wrote nothing has no part in an unknown outcome',
    file: 'recipes/internal/stm/lane.ts',
    find: 'const mayAsk = isUnknown &&',
    replace: 'const mayAsk = isUnknown && seats.length === 0 &&',
    tests: [
      by('live/recipes/stm-edges', 'one that has written nothing does not share in the doubt of its batch'),
    ],
  },
  {
    name: 'stm-branch-outlives-itself',
    promise: 'what is written to a branch that is over is refused, not lost',
    file: 'recipes/internal/stm/transaction.ts',
    find: '    scope.end()\n',
    replace: '',
    tests: [by('live/recipes/stm-edges', 'the transaction of a branch is of no use after the branch')],
  },
  {
    name: 'stm-no-turns',
    promise: 'whoever commits without a pause lets others go first now and then',
    file: 'recipes/internal/stm/courtesy.ts',
    find: 'return pauseMs',
    replace: 'return 0 * pauseMs',
    tests: [by('live/recipes/stm-edges', 'clients that change one key without a pause take turns')],
  },
  {
    name: 'stm-hangs-on-one-event',
    promise: 'a retry looks for itself after a while',
    file: 'recipes/internal/stm/wait.ts',
    find: 'setTimer(CHECK_MS, () => finish(resolve))',
    replace: 'setTimer(CHECK_MS, () => {})',
    tests: [by('live/recipes/stm-edges', 'a retry whose event was lost looks for itself after a while')],
  },
  {
    name: 'stm-confirmed-from-the-past',
    promise: 'what was only read is not confirmed by a member that answers from the past',
    file: 'recipes/internal/stm/courier.ts',
    find: "repeat === 'read' ? 'linearizable' : undefined",
    replace: "repeat === 'once' ? 'linearizable' : undefined",
    tests: [
      by(
        'live/recipes/stm-edges',
        'what was only read is not confirmed by a member that answers from the past',
      ),
    ],
  },
]
