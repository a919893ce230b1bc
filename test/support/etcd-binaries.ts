/**
 * Finds the etcd servers the tests run against, and fetches those the machine does not have.
 *
 * Looked through in this order, the first binary whose `--version` fits the series wins: `ETCD_BIN` (a list
 * separated like PATH, of binaries or of folders that hold one), PATH, and the cache, `quorate/etcd/<version>`
 * under `$XDG_CACHE_HOME` or `~/.cache`. What is in none of them is fetched as a Debian package into the cache,
 * through an apt state of its own, so that neither root nor a change to the machine is needed. Where packages
 * come from is the machine's own choice: the address is asked of apt, only the suite is ours.
 *
 * Several processes may do this at once. A version appears in the cache by one rename, whole or not at all.
 */
import { existsSync } from 'node:fs'
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findExecutable, isExecutable, run, searchPath } from './executable.ts'

export type Series = '3.4' | '3.5'

export const allSeries: readonly Series[] = ['3.4', '3.5']

export interface EtcdBinary {
  readonly path: string
  /** Three numbers, `3.5.16`. */
  readonly version: string
  readonly series: Series
  /** Of the same series where one was found, else any; absent when the machine has none. */
  readonly etcdctl?: string
}

/** Which Debian suite carries the series. */
const suites: Readonly<Record<Series, string>> = { '3.4': 'bookworm', '3.5': 'trixie' }

const lockPatienceMs = 300_000

/** Rejects with one line that says what to install when the series cannot be had. */
export async function findEtcd(series: Series, env: NodeJS.ProcessEnv = process.env): Promise<EtcdBinary> {
  const present = await findPresent(series, env)
  if (present?.etcdctl !== undefined) return present
  try {
    const fetched = await fetchEtcd(series, env)
    return { ...fetched, ...present }
  } catch (error) {
    if (present !== undefined) return present
    const why = (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ')
    throw new Error(
      `no etcd ${series}: install etcd-server ${series} and put it on PATH or in ETCD_BIN (fetching it failed: ${why})`,
      { cause: error },
    )
  }
}

async function findPresent(series: Series, env: NodeJS.ProcessEnv): Promise<EtcdBinary | undefined> {
  for (const candidate of await candidates(env)) {
    const version = await versionOf(candidate)
    if (version === undefined || !isOf(version, series)) continue
    const etcdctl = await findEtcdctl(candidate, series, env)
    return { path: candidate, version, series, ...(etcdctl !== undefined && { etcdctl }) }
  }
  return undefined
}

async function candidates(env: NodeJS.ProcessEnv): Promise<string[]> {
  const found: string[] = []
  for (const entry of searchPath(env.ETCD_BIN)) {
    const candidate = (await isFolder(entry)) ? path.join(entry, 'etcd') : entry
    if (await isExecutable(candidate)) found.push(path.resolve(candidate))
  }
  for (const folder of [...searchPath(env.PATH), ...(await cachedFolders(env))]) {
    const candidate = await findExecutable('etcd', [folder])
    if (candidate !== undefined) found.push(candidate)
  }
  return found
}

async function findEtcdctl(
  etcd: string,
  series: Series,
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  const folders = [path.dirname(etcd), ...searchPath(env.PATH), ...(await cachedFolders(env))]
  let anySeries: string | undefined
  for (const folder of folders) {
    const candidate = await findExecutable('etcdctl', [folder])
    if (candidate === undefined) continue
    const version = await versionOf(candidate, 'version')
    if (version === undefined) continue
    if (isOf(version, series)) return candidate
    anySeries ??= candidate
  }
  return anySeries
}

/** The newest version first. */
async function cachedFolders(env: NodeJS.ProcessEnv): Promise<string[]> {
  const versions = await readdir(cacheFolder(env)).catch((): string[] => [])
  return versions
    .filter(name => /^\d+\.\d+\.\d+$/.test(name))
    .sort((one, other) => other.localeCompare(one, 'en', { numeric: true }))
    .map(name => path.join(cacheFolder(env), name))
}

function cacheFolder(env: NodeJS.ProcessEnv): string {
  const caches = env.XDG_CACHE_HOME || path.join(homedir(), '.cache')
  return path.join(caches, 'quorate', 'etcd')
}

async function versionOf(binary: string, question = '--version'): Promise<string | undefined> {
  try {
    const { stdout } = await run(binary, [question], { timeoutMs: 10_000 })
    return /version:\s*v?(\d+\.\d+\.\d+)/i.exec(stdout)?.[1]
  } catch {
    return undefined
  }
}

function isOf(version: string, series: Series): boolean {
  return version.startsWith(`${series}.`)
}

async function fetchEtcd(series: Series, env: NodeJS.ProcessEnv): Promise<EtcdBinary> {
  const cache = cacheFolder(env)
  await mkdir(cache, { recursive: true })
  const unlock = await lockFetching(cache, series, async () => (await cachedEtcd(series, env)) !== undefined)
  try {
    return (await cachedEtcd(series, env)) ?? (await download(cache, series, env))
  } finally {
    await unlock()
  }
}

async function cachedEtcd(series: Series, env: NodeJS.ProcessEnv): Promise<EtcdBinary | undefined> {
  for (const folder of await cachedFolders(env)) {
    const version = path.basename(folder)
    const etcd = path.join(folder, 'etcd')
    const etcdctl = path.join(folder, 'etcdctl')
    if (!isOf(version, series) || !(await isExecutable(etcdctl))) continue
    if ((await versionOf(etcd)) === version) return { path: etcd, version, series, etcdctl }
  }
  return undefined
}

/**
 * One fetch at a time spares the network, no more: two at once would still end in one whole folder. That is
 * why a lock left behind by a process that died may simply be taken away, even by two who find it together.
 */
async function lockFetching(
  cache: string,
  series: Series,
  isDone: () => Promise<boolean>,
): Promise<() => Promise<void>> {
  const lock = path.join(cache, `.fetching-${series}`)
  const owner = path.join(lock, 'pid')
  const giveUpAtMs = Date.now() + lockPatienceMs
  while (Date.now() < giveUpAtMs) {
    try {
      await mkdir(lock)
      await writeFile(owner, String(process.pid))
      return () => rm(lock, { recursive: true, force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    if (await isDone()) break
    const pid = Number(await readFile(owner, 'utf8').catch(() => ''))
    const ageMs =
      Date.now() -
      (await stat(lock).then(
        found => found.mtimeMs,
        () => Date.now(),
      ))
    if (pid > 0 ? !isAlive(pid) : ageMs > 10_000) await rm(lock, { recursive: true, force: true })
    await sleep(200)
  }
  return async () => {}
}

async function download(cache: string, series: Series, env: NodeJS.ProcessEnv): Promise<EtcdBinary> {
  const staging = await mkdtemp(path.join(cache, `.staging-${series}-`))
  try {
    const apt = await privateApt(path.join(staging, 'apt'), suites[series], env)
    const packages = path.join(staging, 'packages')
    const unpacked = path.join(staging, 'unpacked')
    await mkdir(packages)
    await run('apt-get', [...apt, 'download', 'etcd-server', 'etcd-client'], { cwd: packages, env })
    for (const archive of await readdir(packages)) {
      await run('dpkg', ['-x', path.join(packages, archive), unpacked], { env })
    }

    const complete = path.join(staging, 'complete')
    await mkdir(complete)
    for (const program of ['etcd', 'etcdctl']) {
      await copyFile(path.join(unpacked, 'usr', 'bin', program), path.join(complete, program))
      await chmod(path.join(complete, program), 0o755)
    }
    const version = await versionOf(path.join(complete, 'etcd'))
    if (version === undefined || !isOf(version, series)) {
      throw new Error(
        `the suite ${suites[series]} has etcd ${version ?? 'that does not start here'}, not ${series}`,
      )
    }
    await moveIntoPlace(complete, path.join(cache, version))
    const folder = path.join(cache, version)
    return { path: path.join(folder, 'etcd'), version, series, etcdctl: path.join(folder, 'etcdctl') }
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

async function moveIntoPlace(complete: string, folder: string): Promise<void> {
  try {
    await rename(complete, folder)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
    // Somebody else put the same version there, or a damaged one stands in the way.
    if (
      (await versionOf(path.join(folder, 'etcd'))) !== undefined &&
      (await isExecutable(path.join(folder, 'etcdctl')))
    ) {
      return
    }
    await rename(folder, path.join(path.dirname(complete), 'damaged'))
    await rename(complete, folder)
  }
}

/**
 * An apt that knows the suite and writes nothing outside `home`: the options to call it with. The first
 * update reads the machine's own sources, because apt names a source's address only once it has its lists.
 */
async function privateApt(home: string, suite: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  await mkdir(path.join(home, 'lists', 'partial'), { recursive: true })
  await mkdir(path.join(home, 'archives', 'partial'), { recursive: true })
  await writeFile(path.join(home, 'status'), '')
  const isolated = [
    ['Dir::State', home],
    ['Dir::State::Lists', path.join(home, 'lists')],
    ['Dir::State::status', path.join(home, 'status')],
    ['Dir::Cache', home],
    ['Dir::Log', home],
    // Post-update hooks of the machine expect its real state, and the sandbox user cannot enter our folder.
    ['APT::Update::Post-Invoke-Success', ''],
    ['APT::Sandbox::User', ''],
    ['Acquire::Retries', '3'],
    ['Acquire::Languages', 'none'],
  ].flatMap(([option, value]) => ['-o', `${option}=${value}`])

  // A broken source among several fails it, and does no harm here.
  await run('apt-get', [...isolated, 'update'], { env }).catch(() => {})
  const { stdout } = await run(
    'apt-get',
    [...isolated, 'indextargets', '--format', '$(REPO_URI) $(RELEASE)', 'Created-By: Packages'],
    { env },
  )
  const sources = path.join(home, 'sources.list')
  const mine = [...isolated, '-o', `Dir::Etc::SourceList=${sources}`, '-o', 'Dir::Etc::SourceParts=/dev/null']

  let refusal: unknown = new Error('apt knows no package source')
  for (const address of mainArchives(stdout)) {
    await writeFile(sources, `deb ${keyring()}${address} ${suite} main\n`)
    try {
      await run('apt-get', [...mine, '-o', 'APT::Update::Error-Mode=any', 'update'], { env })
      return mine
    } catch (error) {
      refusal = error
    }
  }
  throw refusal
}

/** Addresses of the sources, those of plain releases before those of their updates. */
function mainArchives(indexTargets: string): string[] {
  const targets = indexTargets.split('\n').filter(line => line !== '')
  const plain = targets.filter(line => !/-(updates|security|backports)$/.test(line))
  return [...new Set([...plain, ...targets].map(line => line.split(' ')[0]!))]
}

function keyring(): string {
  const shipped = ['pgp', 'gpg'].map(suffix => `/usr/share/keyrings/debian-archive-keyring.${suffix}`)
  const present = shipped.find(file => existsSync(file))
  return present === undefined ? '' : `[signed-by=${present}] `
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function isFolder(entry: string): Promise<boolean> {
  return stat(entry).then(
    found => found.isDirectory(),
    () => false,
  )
}
