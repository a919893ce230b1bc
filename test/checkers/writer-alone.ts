import type { Violation } from './history.ts'

/** All who hold a name in one instant, as whoever sees everything sees them. */
export interface Look {
  readonly name: string
  readonly holders: readonly { readonly mode: 'read' | 'write'; readonly token: bigint }[]
}

/** No writer holds beside anybody else. A history of places does not tell it where holders change their modes. */
export function checkWriterAlone(looks: readonly Look[]): Violation[] {
  return looks.flatMap(({ name, holders }) => {
    if (holders.length < 2 || !holders.some(({ mode }) => mode === 'write')) return []
    const words = holders.map(({ mode, token }) => `${mode} ${token}`)
    return [{ rule: 'writer-not-alone', message: `${name} is held by ${words.join(' and ')}.`, involved: [] }]
  })
}
