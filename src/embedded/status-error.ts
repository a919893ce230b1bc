/** A call that ends with a gRPC status other than OK. Thrown by handlers, sent as it is. */
export class StatusError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.name = 'StatusError'
    this.status = status
  }

  /** Whatever a handler threw: what is no refusal of ours travels as Go servers send it, UNKNOWN with its words. */
  static from(error: unknown): StatusError {
    if (error instanceof StatusError) return error
    return new StatusError(2, error instanceof Error ? error.message : String(error))
  }

  /** As Go prints an error of gRPC: the reasons of cancelled watches carry it. */
  toGoString(): string {
    return `rpc error: code = ${GO_NAMES[this.status] ?? `Code(${this.status})`} desc = ${this.message}`
  }
}

const GO_NAMES: readonly string[] = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
]
