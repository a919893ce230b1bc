/**
 * Objects read as they were given. Whoever gets a field into `Object.prototype`, as careless merging of JSON lets
 * strangers do, would otherwise have set that option of every call.
 */

/** The same object, or, where it inherits anything that looks like a field of its own, a copy without that. */
export function ownOnly<Fields extends object>(fields: Fields): Fields {
  for (const name in fields) {
    if (!Object.hasOwn(fields, name)) return Object.assign(Object.create(null), fields) as Fields
  }
  return fields
}

/** The same for a tree of plain objects and lists. Bytes and all else are leaves. */
export function ownThroughout<Tree>(tree: Tree): Tree {
  for (const _ in EMPTY) return copied(tree) as Tree
  return tree
}

const EMPTY: object = Object.freeze({})

function copied(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copied)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  const copy = Object.create(null) as Record<string, unknown>
  for (const [name, field] of Object.entries(value)) copy[name] = copied(field)
  return copy
}
