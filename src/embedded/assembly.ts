import type { Runtime } from '../support/runtime.ts'
import { Alarms } from './alarms.ts'
import { AuthAccess } from './auth-access.ts'
import { authService } from './auth-service.ts'
import { AuthStore } from './auth-store.ts'
import { clusterService } from './cluster-service.ts'
import type { Core } from './core.ts'
import { DatabaseSize } from './database-size.ts'
import { electionService } from './election-service.ts'
import { kvService } from './kv-service.ts'
import { leaseService } from './lease-service.ts'
import { Lessor } from './lessor.ts'
import { lockService } from './lock-service.ts'
import { maintenanceService } from './maintenance-service.ts'
import { Member, type MemberIdentity, Members } from './member.ts'
import type { Route } from './service.ts'
import type { Settings } from './settings.ts'
import type { Snapshot } from './snapshot.ts'
import { Store } from './store.ts'
import { watchService } from './watch-service.ts'

export interface Assembly {
  readonly core: Core
  readonly routes: ReadonlyMap<string, Route>
}

export interface AssemblyOptions {
  readonly members: number
  /** What it starts with. */
  readonly snapshot: Snapshot | undefined
}

/** Puts the parts of an embedded cluster together: the only place that knows them all. */
export function assemble(
  runtime: Runtime,
  settings: Settings,
  { members: memberCount, snapshot }: AssemblyOptions,
): Assembly {
  const store = snapshot === undefined ? new Store() : Store.load(snapshot.store)
  const lessor = new Lessor({ runtime, store, settings })
  const auth = new AuthStore(runtime, settings.authTokenTtl)
  if (snapshot !== undefined) {
    lessor.load(snapshot.leases)
    auth.restore(snapshot.auth)
  }
  const members = membersOf(runtime, settings, store, memberCount)
  store.onCommit(commit => {
    for (const member of members.list) member.apply(commit)
  })
  const access = new AuthAccess(auth, lease => store.keysOfLease(lease))
  const size = new DatabaseSize(store)
  const alarms = new Alarms(size, settings, lessor)
  const core: Core = { runtime, settings, store, lessor, members, access, space: alarms }
  const services = [
    kvService(core),
    leaseService(core),
    watchService(core),
    authService(core, auth, access),
    clusterService(core),
    maintenanceService({ core, auth, access, alarms, size }),
    lockService(core),
    electionService(core),
  ]
  return { core, routes: new Map(services.flat().map(route => [route.path, route])) }
}

function membersOf(runtime: Runtime, settings: Settings, store: Store, count: number): Members {
  const list = Array.from({ length: count }, (_, index) => {
    const identity: MemberIdentity = {
      id: randomId(runtime),
      name: `embedded-${index + 1}`,
      peerUrls: [`http://embedded-${index + 1}:2380`],
    }
    return new Member(identity, { runtime, settings, store })
  })
  return new Members(randomId(runtime), list as [Member, ...Member[]])
}

/** Ids of clusters and members use all of 64 bits, and are never 0. */
function randomId(runtime: Runtime): bigint {
  const bytes = runtime.randomBytes(8)
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0) | 1n
}
