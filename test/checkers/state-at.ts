import type { Found } from './history.ts'
import type { KeySpan } from './key-span.ts'
import { changeAt, type ServerTruth } from './server-truth.ts'

/** What a range held after a commit, in the order of keys. */
export function stateAt(truth: ServerTruth, span: KeySpan, index: number): readonly Found[] {
  const state: Found[] = []
  for (const past of truth.pasts(span)) {
    const last = changeAt(past, index)
    if (last === undefined || last.change.kind === 'delete') continue
    const { key, value, createRevision, version } = last.change
    state.push({ key, value, createRevision, modRevision: truth.revision(last.index), version })
  }
  return state
}
