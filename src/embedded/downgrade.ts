import { Code } from '../support/codes.ts'
import { DowngradeAction } from '../wire/gen/rpc.g.ts'
import { StatusError } from './status-error.ts'

/** The cluster's word that it will go back one minor version. Nothing is ever downgraded here. */
export class Downgrade {
  readonly #major: number
  readonly #minor: number
  #state: 'none' | 'announced' = 'none'

  /** `version`: of the cluster. */
  constructor(version: string) {
    const [major = 0, minor = 0] = version.split('.').map(Number)
    this.#major = major
    this.#minor = minor
  }

  /** Gives the version of the cluster. */
  act(action: DowngradeAction, target: string): string {
    switch (action) {
      case DowngradeAction.validate:
        this.#check(target)
        break
      case DowngradeAction.enable:
        this.#check(target)
        this.#state = 'announced'
        break
      case DowngradeAction.cancel:
        if (this.#state === 'none') throw failedPrecondition('no inflight downgrade job')
        this.#state = 'none'
        break
    }
    return `${this.#major}.${this.#minor}.0`
  }

  #check(target: string): void {
    const version = /^(\d+)\.(\d+)(\.\d+)?$/.exec(target)
    if (version === null) throw invalidArgument('wrong downgrade target version format')
    if (Number(version[1]) !== this.#major || Number(version[2]) !== this.#minor - 1)
      throw invalidArgument('invalid downgrade target version')
    if (this.#state === 'announced') throw failedPrecondition('cluster has a downgrade job in progress')
  }
}

function failedPrecondition(words: string): StatusError {
  return new StatusError(Code.failedPrecondition, `etcdserver: ${words}`)
}

function invalidArgument(words: string): StatusError {
  return new StatusError(Code.invalidArgument, `etcdserver: ${words}`)
}
