/**
 * Takes away from `items` what is not needed for `holds` to be true of the rest: first in large pieces, then
 * one by one until no single one can go. Resolves with what is left.
 */
export async function shortest<Item>(
  items: readonly Item[],
  holds: (candidate: readonly Item[]) => Promise<boolean>,
): Promise<readonly Item[]> {
  let left = items
  for (let size = Math.ceil(left.length / 2); size >= 1; ) {
    let removed = false
    for (let start = left.length - size; start > -size; start -= size) {
      const from = Math.max(0, start)
      const candidate = [...left.slice(0, from), ...left.slice(start + size)]
      if (candidate.length < left.length && (await holds(candidate))) {
        left = candidate
        removed = true
      }
    }
    if (size > 1) size = Math.floor(size / 2)
    else if (!removed) break
  }
  return left
}
