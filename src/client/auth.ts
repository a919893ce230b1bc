import { checkOneOf, checkOptions } from '../support/options.ts'
import { type Bytes, hasUtf8, toBytes } from '../wire/bytes.ts'
import type { Init } from '../wire/codec.ts'
import { PermissionType, type Permission as WirePermission } from '../wire/gen/auth.g.ts'
import type { ResponseHeader } from '../wire/gen/rpc.g.ts'
import { type Method, methods } from '../wire/methods.ts'
import { KeyRange, rangeOf } from './key-range.ts'
import { checkCall } from './kv.ts'
import type { CallOptions, Submitter } from './submitter.ts'

export interface AuthStatus {
  readonly enabled: boolean
  /** Counts the changes of users, roles and permissions. */
  readonly revision: bigint
}

export interface User {
  readonly name: string
  readonly roles: readonly string[]
}

export interface Role {
  readonly name: string
  readonly permissions: readonly Permission[]
}

/** What may be done with keys. */
export type Access = 'read' | 'write' | 'readwrite'

/** What a role may do with some keys, named as etcd has them. */
export interface Permission {
  readonly access: Access
  readonly keys: KeyRange
}

/** A permission to grant: one key, or a range. */
export interface Grant {
  readonly access: Access
  readonly keys: Bytes | KeyRange
}

/**
 * Users, roles and whether etcd asks for them. Keys are etcd's own: a namespace is not applied to them.
 *
 * Each method takes one round trip. Changes are not repeated when their outcome is unknown; with authentication
 * enabled they take a user with the role `root`, else PERMISSION_DENIED.
 */
export class Auth {
  readonly #submitter: Submitter

  constructor(submitter: Submitter) {
    this.#submitter = submitter
  }

  /** Resolves when the cluster asks everybody for a token. FAILED_PRECONDITION without a user `root` that has the role `root`. */
  async enable(options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'enable')
    await this.#submit(methods.authEnable, {}, options)
  }

  /** Resolves when the cluster asks nobody any more; clients with credentials go on without a token. */
  async disable(options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'disable')
    await this.#submit(methods.authDisable, {}, options)
  }

  /** Resolves with whether authentication is on. UNIMPLEMENTED before etcd 3.5. */
  async status(options: CallOptions = {}): Promise<AuthStatus> {
    options = checkCall(options, [], 'status')
    const { enabled, authRevision } = await this.#submit(methods.authStatus, {}, options)
    return { enabled, revision: authRevision }
  }

  /**
   * Resolves when the user exists. Without a password it is one that only a certificate can prove. ALREADY_EXISTS
   * if there is one of that name.
   */
  async addUser(name: string, password?: string, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'addUser')
    const request = {
      name: checkName(name, 'a user'),
      ...(password === undefined
        ? { options: { noPassword: true } }
        : { password: checkPassword(password), options: { noPassword: false } }),
    }
    await this.#submit(methods.userAdd, request, options)
  }

  /** Resolves when the user is gone; its tokens are refused from then on. NOT_FOUND if there is none. */
  async deleteUser(name: string, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'deleteUser')
    await this.#submit(methods.userDelete, { name: checkName(name, 'a user') }, options)
  }

  /** Resolves when the new password counts; tokens given out for the old one are refused. NOT_FOUND without such a user. */
  async changePassword(name: string, password: string, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'changePassword')
    const request = { name: checkName(name, 'a user'), password: checkPassword(password) }
    await this.#submit(methods.userChangePassword, request, options)
  }

  /** Resolves with a user and its roles. NOT_FOUND if there is none. */
  async user(name: string, options: CallOptions = {}): Promise<User> {
    options = checkCall(options, [], 'user')
    const { roles } = await this.#submit(methods.userGet, { name: checkName(name, 'a user') }, options)
    return { name, roles }
  }

  /** Resolves with the names of all users. */
  async users(options: CallOptions = {}): Promise<readonly string[]> {
    options = checkCall(options, [], 'users')
    return (await this.#submit(methods.userList, {}, options)).users
  }

  /** Resolves when the user has the role, also if it had it before. NOT_FOUND without the user or the role. */
  async grantRole(user: string, role: string, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'grantRole')
    const request = { user: checkName(user, 'a user'), role: checkName(role, 'a role') }
    await this.#submit(methods.userGrantRole, request, options)
  }

  /** Resolves when the user no longer has the role. FAILED_PRECONDITION if it had not. */
  async revokeRole(user: string, role: string, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'revokeRole')
    const request = { name: checkName(user, 'a user'), role: checkName(role, 'a role') }
    await this.#submit(methods.userRevokeRole, request, options)
  }

  /** Resolves when the role exists, without any permission. ALREADY_EXISTS if there is one of that name. */
  async addRole(name: string, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'addRole')
    await this.#submit(methods.roleAdd, { name: checkName(name, 'a role') }, options)
  }

  /** Resolves when the role is gone, taken from every user that had it. NOT_FOUND if there is none. */
  async deleteRole(name: string, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'deleteRole')
    await this.#submit(methods.roleDelete, { role: checkName(name, 'a role') }, options)
  }

  /** Resolves with a role and its permissions. NOT_FOUND if there is none. */
  async role(name: string, options: CallOptions = {}): Promise<Role> {
    options = checkCall(options, [], 'role')
    const { permissions } = await this.#submit(methods.roleGet, { role: checkName(name, 'a role') }, options)
    return { name, permissions: permissions.map(permissionOf) }
  }

  /** Resolves with the names of all roles. */
  async roles(options: CallOptions = {}): Promise<readonly string[]> {
    options = checkCall(options, [], 'roles')
    return (await this.#submit(methods.roleList, {}, options)).roles
  }

  /** Resolves when the role may do that; what it could do with exactly these keys before is replaced. NOT_FOUND without the role. */
  async grantPermission(role: string, grant: Grant, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'grantPermission')
    grant = checkOptions(grant, ['access', 'keys'], 'grantPermission')
    if (grant === undefined) throw new TypeError('grantPermission takes { access, keys }')
    const access = checkOneOf(grant.access, ['read', 'write', 'readwrite'], 'access')
    const { key, end } = rangeOf(grant.keys)
    const permission: Init<WirePermission> = { type: TYPES[access], key, rangeEnd: end }
    await this.#submit(methods.roleGrantPermission, { name: checkName(role, 'a role'), permission }, options)
  }

  /** Resolves when the role has no permission for exactly these keys any more. FAILED_PRECONDITION if it had none. */
  async revokePermission(role: string, keys: Bytes | KeyRange, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'revokePermission')
    const { key, end } = rangeOf(keys)
    const request = { role: checkName(role, 'a role'), key, rangeEnd: end }
    await this.#submit(methods.roleRevokePermission, request, options)
  }

  #submit<Request, Response extends { readonly header: ResponseHeader | undefined }>(
    method: Method<Request, Response>,
    request: Init<Request>,
    { signal, timeoutMs }: CallOptions,
  ): Promise<Response> {
    return this.#submitter.submit({ method, request, footprint: 'alone', signal, timeoutMs })
  }
}

const TYPES: Readonly<Record<Access, PermissionType>> = {
  read: PermissionType.read,
  write: PermissionType.write,
  readwrite: PermissionType.readWrite,
}

function permissionOf({ type, key, rangeEnd }: WirePermission): Permission {
  const access = type === PermissionType.read ? 'read' : type === PermissionType.write ? 'write' : 'readwrite'
  return { access, keys: new KeyRange(key, rangeEnd) }
}

function checkName(name: unknown, what: string): string {
  if (typeof name !== 'string') throw new TypeError(`the name of ${what} is a string, got ${typeof name}`)
  if (name === '') throw new RangeError(`the name of ${what} is not empty`)
  // Refuses what has no UTF-8 form.
  toBytes(name)
  return name
}

/** Never says what it was given. */
function checkPassword(password: unknown): string {
  if (typeof password !== 'string') throw new TypeError(`a password is a string, got ${typeof password}`)
  if (password === '')
    throw new RangeError('a password is not empty; a user of certificates alone is added without one')
  if (!hasUtf8(password)) throw new TypeError('a password with half a surrogate pair has no UTF-8 form')
  return password
}
