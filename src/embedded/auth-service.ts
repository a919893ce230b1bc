import type { Init } from '../wire/codec.ts'
import type { ResponseHeader } from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import type { AuthAccess } from './auth-access.ts'
import type { AuthStore } from './auth-store.ts'
import { type Core, headerOf } from './core.ts'
import { type CallContext, type Service, type UnaryHandler, unary } from './service.ts'

interface Headed {
  readonly header: Init<ResponseHeader>
}

/** Users, roles and signing in. All but signing in, and reading about oneself, is for root alone. */
export function authService(core: Core, auth: AuthStore, access: AuthAccess): Service {
  const headed = (context: CallContext): Headed => ({ header: headerOf(core, context.member) })

  /** Does `change` if the caller is root. */
  function byRoot<Request>(change: (request: Request) => void): UnaryHandler<Request, Headed> {
    return (request, context) => {
      access.admin(context)
      change(request)
      return headed(context)
    }
  }

  return [
    unary(
      methods.authEnable,
      byRoot(() => auth.enable()),
      'write',
    ),
    unary(
      methods.authDisable,
      byRoot(() => auth.disable()),
      'write',
    ),
    unary(
      methods.authStatus,
      (_request, context) => {
        access.admin(context)
        return { ...headed(context), enabled: auth.enabled, authRevision: auth.revision }
      },
      'write',
    ),
    unary(
      methods.authenticate,
      ({ name, password }, context) => ({ ...headed(context), token: auth.authenticate(name, password) }),
      'write',
    ),
    unary(
      methods.userAdd,
      byRoot(({ name, password, hashedPassword, options }) =>
        auth.addUser({ name, password, hashedPassword, noPassword: options?.noPassword ?? false }),
      ),
      'write',
    ),
    unary(
      methods.userGet,
      ({ name }, context) => {
        const caller = access.identify(context)?.username
        if (caller !== name) access.admin(context)
        return { ...headed(context), roles: auth.rolesOf(name) }
      },
      'write',
    ),
    unary(
      methods.userList,
      (_request, context) => {
        access.admin(context)
        return { ...headed(context), users: auth.userNames() }
      },
      'write',
    ),
    unary(
      methods.userDelete,
      byRoot(({ name }) => auth.deleteUser(name)),
      'write',
    ),
    unary(
      methods.userChangePassword,
      byRoot(({ name, password, hashedPassword }) => auth.changePassword(name, password, hashedPassword)),
      'write',
    ),
    unary(
      methods.userGrantRole,
      byRoot(({ user, role }) => auth.grantRole(user, role)),
      'write',
    ),
    unary(
      methods.userRevokeRole,
      byRoot(({ name, role }) => auth.revokeRole(name, role)),
      'write',
    ),
    unary(
      methods.roleAdd,
      byRoot(({ name }) => auth.addRole(name)),
      'write',
    ),
    unary(
      methods.roleGet,
      ({ role }, context) => {
        const caller = access.identify(context)?.username
        if (caller === undefined || !auth.hasRole(caller, role)) access.admin(context)
        return { ...headed(context), permissions: auth.permissionsOfRole(role) }
      },
      'write',
    ),
    unary(
      methods.roleList,
      (_request, context) => {
        access.admin(context)
        return { ...headed(context), roles: auth.roleNames() }
      },
      'write',
    ),
    unary(
      methods.roleDelete,
      byRoot(({ role }) => auth.deleteRole(role)),
      'write',
    ),
    unary(
      methods.roleGrantPermission,
      byRoot(({ name, permission }) => auth.grantPermission(name, permission)),
      'write',
    ),
    unary(
      methods.roleRevokePermission,
      byRoot(({ role, key, rangeEnd }) => auth.revokePermission(role, key, rangeEnd)),
      'write',
    ),
  ]
}
