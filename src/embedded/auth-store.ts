import { Code } from '../support/codes.ts'
import type { Runtime } from '../support/runtime.ts'
import { compareBytes, equalBytes } from '../wire/bytes.ts'
import type { Permission } from '../wire/gen/auth.g.ts'
import { AuthTokens } from './auth-tokens.ts'
import { hashPassword, isPassword, type PasswordHash } from './passwords.ts'
import { type Access, Permissions } from './permissions.ts'
import { StatusError } from './status-error.ts'
import { refuse } from './statuses.ts'

/** Who makes a request, and the state of users and roles it was admitted under. */
export interface Identity {
  readonly username: string
  readonly authRevision: bigint
}

/**
 * - `password`: signs in with it
 * - `none`: was added to have none, and signs in by certificate only
 * - `unusable`: nothing matches it. An empty password comes to that, and a hash made elsewhere, which this
 *   server cannot check
 */
export type Credentials =
  | { readonly kind: 'password'; readonly hash: PasswordHash }
  | { readonly kind: 'none' }
  | { readonly kind: 'unusable' }

/** Everything about users that outlives the server: part of a snapshot. */
export interface AuthState {
  readonly enabled: boolean
  readonly revision: bigint
  readonly users: readonly UserState[]
  readonly roles: readonly RoleState[]
}

export interface UserState {
  readonly name: string
  readonly credentials: Credentials
  readonly roles: readonly string[]
}

export interface RoleState {
  readonly name: string
  readonly permissions: readonly Permission[]
}

export interface NewUser {
  readonly name: string
  readonly password: string
  readonly hashedPassword: string
  readonly noPassword: boolean
}

interface User {
  readonly name: string
  credentials: Credentials
  readonly roles: Set<string>
  /** Of all its roles together; made when first asked for, dropped when anything about users or roles changes. */
  permissions: Permissions | undefined
}

interface Role {
  readonly name: string
  /** By key; of equal keys the one granted first comes first. */
  permissions: Permission[]
}

/** The user that must exist, and the role that may do everything. */
const ROOT = 'root'

/**
 * Users, roles and what they allow. Every change raises the auth revision, and a request admitted under an
 * older one is refused: what it was allowed may no longer be.
 */
export class AuthStore {
  readonly #runtime: Runtime
  readonly #tokens: AuthTokens
  readonly #users = new Map<string, User>()
  readonly #roles = new Map<string, Role>()
  #enabled = false
  #revision = 1n

  constructor(runtime: Runtime, tokenTtlSeconds: number) {
    this.#runtime = runtime
    this.#tokens = new AuthTokens(runtime, tokenTtlSeconds * 1000)
  }

  get enabled(): boolean {
    return this.#enabled
  }

  get revision(): bigint {
    return this.#revision
  }

  // who is it

  /** Without a token: nobody, which is somebody else than a caller with a bad one. */
  identify(token: string | undefined): Identity | undefined {
    if (!this.#enabled || token === undefined) return undefined
    const username = this.#tokens.use(token)
    if (username === undefined) throw refuse.invalidAuthToken()
    return { username, authRevision: this.#revision }
  }

  authenticate(name: string, password: string): string {
    if (!this.#enabled) throw refuse.authNotEnabled()
    const credentials = this.#users.get(name)?.credentials
    if (credentials?.kind === 'none') throw noPasswordUser()
    if (credentials?.kind !== 'password' || !isPassword(password, credentials.hash)) throw refuse.authFailed()
    return this.#tokens.issue(name)
  }

  // may they

  checkKeys(identity: Identity | undefined, access: Access, key: Uint8Array, rangeEnd: Uint8Array): void {
    if (!this.#enabled) return
    if (identity === undefined) throw refuse.userEmpty()
    if (identity.authRevision < this.#revision) throw refuse.authOldRevision()
    const user = this.#users.get(identity.username)
    if (user === undefined) throw refuse.permissionDenied()
    if (user.roles.has(ROOT)) return
    if (!this.#permissionsOf(user).allow(access, key, rangeEnd)) throw refuse.permissionDenied()
  }

  checkAdmin(identity: Identity | undefined): void {
    if (!this.#enabled) return
    if (identity === undefined) throw refuse.userEmpty()
    if (!this.#users.get(identity.username)?.roles.has(ROOT)) throw refuse.permissionDenied()
  }

  hasRole(username: string, role: string): boolean {
    return this.#users.get(username)?.roles.has(role) ?? false
  }

  // on and off

  enable(): void {
    if (this.#enabled) return
    const root = this.#users.get(ROOT)
    if (root === undefined) throw refuse.rootUserNotExist()
    if (!root.roles.has(ROOT)) throw refuse.rootRoleNotExist()
    this.#enabled = true
  }

  disable(): void {
    if (!this.#enabled) return
    this.#enabled = false
    this.#tokens.forgetAll()
    this.#changed()
  }

  // users

  addUser(added: NewUser): void {
    const { name } = added
    if (name === '') throw refuse.userEmpty()
    if (this.#users.has(name)) throw refuse.userAlreadyExists()
    const credentials = added.noPassword
      ? ({ kind: 'none' } as const)
      : this.#credentialsOf(added.password, added.hashedPassword)
    this.#users.set(name, { name, credentials, roles: new Set(), permissions: undefined })
    this.#changed()
  }

  deleteUser(name: string): void {
    if (this.#enabled && name === ROOT) throw refuse.invalidAuthManagement()
    if (!this.#users.delete(name)) throw refuse.userNotFound()
    this.#tokens.forgetUser(name)
    this.#changed()
  }

  changePassword(name: string, password: string, hashedPassword: string): void {
    const user = this.#user(name)
    // A user added without a password stays one.
    if (user.credentials.kind !== 'none')
      user.credentials = this.#credentialsOf(password, hashedPassword, user.credentials)
    this.#tokens.forgetUser(name)
    this.#changed()
  }

  grantRole(name: string, role: string): void {
    const user = this.#user(name)
    // The role root needs no existence of its own.
    if (role !== ROOT && !this.#roles.has(role)) throw refuse.roleNotFound()
    if (user.roles.has(role)) return
    user.roles.add(role)
    this.#changed()
  }

  revokeRole(name: string, role: string): void {
    if (this.#enabled && name === ROOT && role === ROOT) throw refuse.invalidAuthManagement()
    if (!this.#user(name).roles.delete(role)) throw refuse.roleNotGranted()
    this.#changed()
  }

  rolesOf(name: string): readonly string[] {
    return inByteOrder(this.#user(name).roles)
  }

  userNames(): readonly string[] {
    return inByteOrder(this.#users.keys())
  }

  // roles

  addRole(name: string): void {
    if (name === '') throw refuse.roleEmpty()
    if (this.#roles.has(name)) throw refuse.roleAlreadyExists()
    this.#roles.set(name, { name, permissions: [] })
    this.#changed()
  }

  deleteRole(name: string): void {
    if (this.#enabled && name === ROOT) throw refuse.invalidAuthManagement()
    if (!this.#roles.delete(name)) throw refuse.roleNotFound()
    for (const user of this.#users.values()) user.roles.delete(name)
    this.#changed()
  }

  grantPermission(name: string, granted: Permission | undefined): void {
    if (granted === undefined) throw refuse.permissionNotGiven()
    if (!isPermissionRange(granted.key, granted.rangeEnd)) throw refuse.invalidAuthManagement()
    const role = this.#role(name)
    // Decoded bytes are views of the whole request, which would live as long as the role.
    const permission: Permission = {
      type: granted.type,
      key: granted.key.slice(),
      rangeEnd: granted.rangeEnd.slice(),
    }
    // Like etcd, only the first permission of a key can be changed in place: those behind it are added to.
    const first = role.permissions.findIndex(({ key }) => compareBytes(key, permission.key) >= 0)
    const found = role.permissions[first]
    if (found !== undefined && isSameRange(found, permission)) {
      role.permissions[first] = permission
    } else {
      role.permissions.push(permission)
      role.permissions.sort((one, other) => compareBytes(one.key, other.key))
    }
    this.#changed()
  }

  revokePermission(name: string, key: Uint8Array, rangeEnd: Uint8Array): void {
    const role = this.#role(name)
    const kept = role.permissions.filter(permission => !isSameRange(permission, { key, rangeEnd }))
    if (kept.length === role.permissions.length) throw refuse.permissionNotGranted()
    role.permissions = kept
    this.#changed()
  }

  permissionsOfRole(name: string): readonly Permission[] {
    return this.#role(name).permissions
  }

  roleNames(): readonly string[] {
    return inByteOrder(this.#roles.keys())
  }

  // snapshots

  state(): AuthState {
    return {
      enabled: this.#enabled,
      revision: this.#revision,
      users: Array.from(this.#users.values(), ({ name, credentials, roles }) => ({
        name,
        credentials,
        roles: inByteOrder(roles),
      })),
      roles: Array.from(this.#roles.values(), ({ name, permissions }) => ({
        name,
        permissions: [...permissions],
      })),
    }
  }

  /** Tokens are not part of a state: everybody signs in again. */
  restore(state: AuthState): void {
    this.#users.clear()
    this.#roles.clear()
    this.#tokens.forgetAll()
    for (const { name, credentials, roles } of state.users)
      this.#users.set(name, { name, credentials, roles: new Set(roles), permissions: undefined })
    for (const { name, permissions } of state.roles)
      this.#roles.set(name, { name, permissions: [...permissions] })
    this.#enabled = state.enabled
    this.#revision = state.revision
  }

  /** The one place that raises the revision, so that no merged permissions outlive a change. */
  #changed(): void {
    this.#revision++
    for (const user of this.#users.values()) user.permissions = undefined
  }

  #user(name: string): User {
    const user = this.#users.get(name)
    if (user === undefined) throw refuse.userNotFound()
    return user
  }

  #role(name: string): Role {
    const role = this.#roles.get(name)
    if (role === undefined) throw refuse.roleNotFound()
    return role
  }

  #permissionsOf(user: User): Permissions {
    user.permissions ??= new Permissions(
      Array.from(user.roles).flatMap(role => this.#roles.get(role)?.permissions ?? []),
    )
    return user.permissions
  }

  /** One that takes the place of another is as costly to try as that was. */
  #credentialsOf(password: string, hashedPassword: string, before?: Credentials): Credentials {
    if (password === '' || hashedPassword !== '') return { kind: 'unusable' }
    const cost = before?.kind === 'password' ? before.hash.cost : undefined
    return { kind: 'password', hash: hashPassword(password, this.#runtime, cost) }
  }
}

/** A key, or a range that is not empty; a single zero byte ends no range. */
function isPermissionRange(key: Uint8Array, rangeEnd: Uint8Array): boolean {
  if (key.length === 0) return false
  if (rangeEnd.length === 0 || (rangeEnd.length === 1 && rangeEnd[0] === 0)) return true
  return compareBytes(key, rangeEnd) < 0
}

function isSameRange(
  one: Pick<Permission, 'key' | 'rangeEnd'>,
  other: Pick<Permission, 'key' | 'rangeEnd'>,
): boolean {
  return equalBytes(one.key, other.key) && equalBytes(one.rangeEnd, other.rangeEnd)
}

/** Go sorts strings by their bytes, not by UTF-16 units. */
function inByteOrder(names: Iterable<string>): string[] {
  return Array.from(names, name => ({ name, bytes: Buffer.from(name) }))
    .sort((one, other) => compareBytes(one.bytes, other.bytes))
    .map(({ name }) => name)
}

/** etcd has no status for this one, so it travels with the name of the part that said it. */
function noPasswordUser(): StatusError {
  return new StatusError(Code.unknown, 'auth: authentication failed, password was given for no password user')
}
