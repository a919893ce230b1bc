/** How the commands of this repository, which are no tests, are called. */

/**
 * What `parse` makes of the arguments this process was started with. Asked for help it prints the usage and ends
 * with 0; called wrongly it says in one line what is wrong, and ends with 2.
 */
export function commandLine<Plan>(usage: string, parse: (args: string[]) => Plan): Plan {
  const args = process.argv.slice(2)
  if (args.includes('--help') || args.includes('-h')) {
    console.log(usage)
    process.exit(0)
  }
  try {
    return parse(args)
  } catch (error) {
    if (!isOfTheCaller(error)) throw error
    // Node adds what else could have been meant, over several lines or in a second sentence.
    console.error(`${error.message.split(/\.?\n|\. To specify/)[0]}; --help lists the options`)
    process.exit(2)
  }
}

/** A whole number, for people to correct if it is none. */
export function wholeNumber(option: string, words: string, least: number): number {
  const number = Number(words)
  if (words.trim() === '' || !Number.isSafeInteger(number) || number < least)
    throw new RangeError(`${option} is a whole number from ${least}, not "${words}"`)
  return number
}

export function oneOf<Known extends string>(option: string, words: string, known: readonly Known[]): Known {
  const found = known.find(candidate => candidate === words)
  if (found === undefined) throw new RangeError(`${option} is one of ${known.join(', ')}, not "${words}"`)
  return found
}

/** Anything else is a fault of ours, and keeps its stack. */
function isOfTheCaller(error: unknown): error is Error {
  if (error instanceof RangeError || error instanceof SyntaxError) return true
  return error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
}
