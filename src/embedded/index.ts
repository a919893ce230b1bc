/** `quorate/embedded`: an etcd v3 server inside the process, for quick starts, tests and simulation. */
export type { Aftermath, FaultTarget } from './fault-rules.ts'
export type { DelayOptions, DropOptions, Faults } from './faults.ts'
export type { EmbeddedOptions } from './options.ts'
export { type EmbeddedEtcd, startEtcd } from './server.ts'
export type { ServerTls } from './server-tls.ts'
