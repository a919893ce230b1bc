import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, cpus, platform } from 'node:os'
import { findExecutable, run, searchPath } from '../../test/support/executable.ts'

/** What the figures of a run hold for. */
export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly system: string
  readonly node: string
  readonly grpc: string
  readonly go: string
  readonly goClient: string
}

const goClientVersion = '/usr/share/gocode/src/go.etcd.io/etcd/version/version.go'

export async function thisMachine(): Promise<Machine> {
  const processors = cpus()
  return {
    processor: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    system: `${platform()} ${arch()}`,
    node: process.versions.node,
    grpc: versionOf(createRequire(import.meta.url)('@grpc/grpc-js/package.json')),
    go: await goVersion(),
    goClient: versionIn(await readFile(goClientVersion, 'utf8').catch(() => '')),
  }
}

/** In one line. */
export function machineLine(machine: Machine, etcdVersion: string): string {
  const { processor, cores, system, node, grpc, go, goClient } = machine
  return `${cores} cores (${processor}, ${system}), Node.js ${node}, grpc-js ${grpc}, etcd ${etcdVersion}, Go client ${goClient} by Go ${go}`
}

async function goVersion(): Promise<string> {
  const go = await findExecutable('go', searchPath(process.env.PATH))
  if (go === undefined) return 'unknown'
  const { stdout } = await run(go, ['version'])
  return /go(\d[\d.]*)/.exec(stdout)?.[1] ?? 'unknown'
}

function versionOf({ version }: { readonly version: string }): string {
  return version
}

function versionIn(source: string): string {
  return /\bVersion\s*=\s*"([^"]+)"/.exec(source)?.[1] ?? 'unknown'
}
