import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Each row of the table of checkers in docs/proof.md: its name, and on how many bad histories it is tried. */
export function proofTable(): readonly { readonly checker: string; readonly histories: number }[] {
  const page = readFileSync(fileURLToPath(new URL('../../../docs/proof.md', import.meta.url)), 'utf8')
  const [, section = ''] = /^## Checkers\n(.*?)^## /ms.exec(page) ?? []
  return [...section.matchAll(/^\| `([\w-]+)` \| .+ \| (\d+) \|$/gm)].map(([, checker, histories]) => ({
    checker: checker!,
    histories: Number(histories),
  }))
}
