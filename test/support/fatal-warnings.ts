/**
 * Preloaded into test processes: a warning ends the process it comes from, and so fails its test file. Node itself
 * does the same with unhandled rejections. Processes started from there inherit both.
 */

/** What is no sign of anything wrong: features of Node that may change, and what the library tells its operator. */
const HARMLESS: ReadonlySet<string> = new Set(['ExperimentalWarning', 'QuorateWarning'])

process.on('warning', function fatal(warning: Error): void {
  if (!HARMLESS.has(warning.name)) throw warning
})

const options = process.env.NODE_OPTIONS ?? ''
if (!options.includes(import.meta.url)) {
  const strict = `--unhandled-rejections=strict --import=${import.meta.url}`
  process.env.NODE_OPTIONS = options === '' ? strict : `${options} ${strict}`
}
