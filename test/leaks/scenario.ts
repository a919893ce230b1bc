import type { EmbeddedEtcd } from '../../src/embedded/index.ts'
import type { ConnectOptions, Etcd } from '../../src/index.ts'
import type { Runtime } from '../../src/support/runtime.ts'

/** Something that is done over and over, and leaves nothing behind. */
export interface Scenario {
  readonly name: string
  /** Of client and server. Default: the machine's. */
  readonly runtime?: (() => Runtime) | undefined
  /** Opens what all cycles share, and returns one cycle of it. */
  open(stage: Stage): Promise<Act>
}

export interface Act {
  cycle(index: number): Promise<void>
  /** Closes what all cycles shared. */
  close(): Promise<void>
}

/** Where a scenario plays. */
export interface Stage {
  /** Outlives every cycle, and is handed to every call of one. */
  readonly signal: AbortSignal
  readonly server: EmbeddedEtcd
  connect(options?: ConnectOptions): Promise<Etcd>
}
