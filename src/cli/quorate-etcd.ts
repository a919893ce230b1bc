#!/usr/bin/env node
/** `quorate-etcd`: the embedded etcd as a process of its own, for clients of any language on this machine. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { startEtcd } from '../embedded/index.ts'
import { type Command, parseCommand, usage } from './etcd-command.ts'

process.exitCode = await main(process.argv.slice(2))

/** Resolves with the exit status: 0 after an orderly end, 1 when it cannot serve, 2 when it was called wrongly. */
async function main(args: readonly string[]): Promise<number> {
  let command: Command
  try {
    command = parseCommand(args)
  } catch (error) {
    process.stderr.write(`quorate-etcd: ${wordsOf(error)}\nTry quorate-etcd --help.\n`)
    return 2
  }
  if (command.kind === 'help') {
    process.stdout.write(usage)
    return 0
  }
  try {
    await serve(command)
    return 0
  } catch (error) {
    process.stderr.write(`quorate-etcd: ${wordsOf(error)}\n`)
    return 1
  }
}

/** Until it is told to stop. */
async function serve({
  options,
  snapshot,
  tls,
}: Extract<Command, { readonly kind: 'serve' }>): Promise<void> {
  await using server = await startEtcd({
    ...options,
    tls: tls && { cert: await readFile(tls.cert), key: await readFile(tls.key), ca: await read(tls.ca) },
    snapshot: await read(snapshot),
  })
  const told = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  process.stdout.write(
    `quorate-etcd: serving etcd v3 on ${server.endpoints.join(', ')}, keys in memory only\n`,
  )
  await told
}

async function read(file: string | undefined): Promise<Uint8Array | undefined> {
  return file === undefined ? undefined : new Uint8Array(await readFile(file))
}

function wordsOf(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error)
  return words.replace(/^startEtcd: /, '')
}
