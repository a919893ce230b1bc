import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Report } from './report.ts'

const folder = fileURLToPath(new URL('../../../benchmarks/results/', import.meta.url))

/** Adds a report to the others of its scenario, oldest first. Resolves with the file. */
export async function record(report: Report): Promise<string> {
  const file = path.join(folder, `${report.scenario}.json`)
  const earlier = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '[]'
    throw error
  })
  const reports = [...(JSON.parse(earlier) as Report[]), report]
  await mkdir(folder, { recursive: true })
  // By a rename: years of measurements are not lost to a full disk.
  await writeFile(`${file}.new`, `${JSON.stringify(reports, undefined, 2)}\n`)
  await rename(`${file}.new`, file)
  return file
}
