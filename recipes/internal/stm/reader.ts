import type { Engine } from '../../../src/client/engine.ts'
import type { Deferred } from '../../../src/support/deferred.ts'
import { deferred } from '../../../src/support/deferred.ts'
import { whenSettled } from '../../../src/support/settling.ts'
import type { Init } from '../../../src/wire/codec.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { RangeRequest, RangeResponse } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { after, type Interval, nameOf, spanOf } from './interval.ts'
import { itemOf } from './item.ts'
import type { Known } from './snapshot.ts'

/** The most a server takes in one transaction, unless it was told otherwise. */
export const MOST_OPERATIONS = 128

/** What a read brought: all of the interval, or its beginning if there was a limit. */
export interface Answer extends Known {
  /** At which revision it was read. */
  readonly revision: bigint
}

/** Reads that go out together, all at one revision: a given one or the latest. */
class Request {
  readonly revision: bigint | undefined
  readonly questions = new Map<string, Question>()

  constructor(revision: bigint | undefined) {
    this.revision = revision
  }
}

interface Question {
  readonly interval: Interval
  readonly limit: number
  readonly answer: Deferred<Answer>
}

/** Names the request that carries a read, so that whoever reads on can tell whether it is still open. */
export interface Ticket {
  readonly request: object
  readonly answer: Promise<Answer>
}

/**
 * Reads of one client. Whatever is asked for in one tick, by one transaction or by many, travels as one read-only
 * transaction per revision, each question once.
 */
export class StmReader {
  readonly #engine: Engine
  readonly #open = new Map<bigint | undefined, Request>()

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** `at`: a revision read before, or the latest there is. Zero is no limit. */
  read(interval: Interval, limit: number, at: bigint | undefined): Ticket {
    const request = this.#requestAt(at)
    const name = `${nameOf(interval)} ${limit}`
    let question = request.questions.get(name)
    if (question === undefined) {
      question = { interval, limit, answer: deferred() }
      // Whoever asked may have left.
      question.answer.promise.catch(() => {})
      request.questions.set(name, question)
    }
    return { request, answer: question.answer.promise }
  }

  /** Will this request still take a question? */
  isOpen(request: object): boolean {
    return this.#open.get(undefined) === request
  }

  #requestAt(revision: bigint | undefined): Request {
    const open = this.#open.get(revision)
    if (open !== undefined && open.questions.size < MOST_OPERATIONS) return open
    const request = new Request(revision)
    this.#open.set(revision, request)
    whenSettled(() => {
      if (this.#open.get(revision) === request) this.#open.delete(revision)
      void this.#send(revision, [...request.questions.values()])
    })
    return request
  }

  /** Resolves with the revision they were read at, undefined if they were not. */
  async #send(revision: bigint | undefined, questions: readonly Question[]): Promise<bigint | undefined> {
    try {
      const { responses, header } = await this.#engine.submitter.submit({
        method: methods.txn,
        request: {
          success: questions.map(question => ({
            request: { kind: 'range' as const, value: rangeOf(question, revision) },
          })),
        },
        footprint: 'alone',
        repeat: 'read',
        consistency: 'linearizable',
      })
      const at = revision ?? header?.revision ?? 0n
      questions.forEach((question, index) => {
        const response = responses[index]?.response
        if (response?.kind === 'range') question.answer.resolve(answerOf(question, response.value, at))
        else question.answer.reject(unanswered())
      })
      return at
    } catch (error) {
      if (questions.length > 1 && isOfOneQuestion(error)) void this.#sendApart(revision, questions)
      else for (const { answer } of questions) answer.reject(error)
      return undefined
    }
  }

  /**
   * Each in a request of its own, all at one revision: it is that of the first that is answered, for which the
   * others wait.
   */
  async #sendApart(revision: bigint | undefined, questions: readonly Question[]): Promise<void> {
    const left = [...questions]
    let at = revision
    while (at === undefined && left.length > 0) at = await this.#send(undefined, left.splice(0, 1))
    for (const question of left) void this.#send(at, [question])
  }
}

/** A question that is not allowed must not spoil the others. */
function isOfOneQuestion(error: unknown): boolean {
  return (
    EtcdError.is(error) &&
    error.outcome === 'rejected' &&
    error.code !== 'COMPACTED' &&
    error.code !== 'FUTURE_REVISION'
  )
}

function rangeOf({ interval, limit }: Question, revision: bigint | undefined): Init<RangeRequest> {
  const { key, end } = spanOf(interval)
  return { key, rangeEnd: end, limit: BigInt(limit), revision: revision ?? 0n }
}

function answerOf({ interval }: Question, { kvs, more }: RangeResponse, revision: bigint): Answer {
  const items = kvs.map(itemOf)
  const last = items.at(-1)
  // What lies behind the last key was not looked at.
  const seen = more && last !== undefined ? { from: interval.from, to: after(last.key) } : interval
  return { interval: seen, items, revision }
}

function unanswered(): EtcdError {
  return new EtcdError('PROTOCOL', '[PROTOCOL] a read was left out of the answer', { outcome: 'rejected' })
}
