import test from 'ava'
import protobuf from 'protobufjs'
import { type Method, methods } from '../../src/wire/methods.ts'
import { root } from './reflection.ts'

const table = new Map(
  Object.values(methods as unknown as Record<string, Method<unknown, unknown>>).map(method => [
    method.path,
    method,
  ]),
)

function services(namespace: protobuf.NamespaceBase): protobuf.Service[] {
  return namespace.nestedArray.flatMap(item => {
    if (item instanceof protobuf.Service) return [item]
    return item instanceof protobuf.Namespace ? services(item) : []
  })
}

test('every call of every service is in the table, once, with its messages and its kind', t => {
  const seen = new Set<string>()
  for (const service of services(root)) {
    for (const call of service.methodsArray) {
      call.resolve()
      const path = `/${service.fullName.slice(1)}/${call.name}`
      const method = table.get(path)
      t.truthy(method, path)
      t.is(method?.request.name, call.resolvedRequestType?.fullName.slice(1), path)
      t.is(method?.response.name, call.resolvedResponseType?.fullName.slice(1), path)
      t.is(
        method?.kind,
        call.requestStream ? 'duplex' : call.responseStream ? 'server-stream' : 'unary',
        path,
      )
      seen.add(path)
    }
  }
  t.deepEqual([...table.keys()].sort(), [...seen].sort())
  t.is(table.size, Object.keys(methods).length)
})

test('nothing that writes is repeated by default', t => {
  const repeatable = [...table.values()].filter(method => method.repeat !== 'once').map(method => method.path)
  t.deepEqual(repeatable.sort(), [
    '/etcdserverpb.Auth/AuthStatus',
    '/etcdserverpb.Auth/Authenticate',
    '/etcdserverpb.Auth/RoleGet',
    '/etcdserverpb.Auth/RoleList',
    '/etcdserverpb.Auth/UserGet',
    '/etcdserverpb.Auth/UserList',
    '/etcdserverpb.Cluster/MemberList',
    '/etcdserverpb.KV/Range',
    '/etcdserverpb.Lease/LeaseKeepAlive',
    '/etcdserverpb.Lease/LeaseLeases',
    '/etcdserverpb.Lease/LeaseRevoke',
    '/etcdserverpb.Lease/LeaseTimeToLive',
    '/etcdserverpb.Maintenance/Hash',
    '/etcdserverpb.Maintenance/HashKV',
    '/etcdserverpb.Maintenance/Snapshot',
    '/etcdserverpb.Maintenance/Status',
    '/etcdserverpb.Watch/Watch',
    '/v3electionpb.Election/Leader',
    '/v3electionpb.Election/Observe',
  ])
  t.is(methods.leaseRevoke.repeat, 'idempotent')
})
