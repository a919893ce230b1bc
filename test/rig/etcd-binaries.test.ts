import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { findEtcd } from '../support/etcd-binaries.ts'

/** A machine of shell scripts: folders for PATH, ETCD_BIN and the cache, and nothing else in reach. */
interface Machine {
  readonly folder: string
  readonly path: string
  readonly cache: string
  readonly env: NodeJS.ProcessEnv
}

async function machine(t: ExecutionContext): Promise<Machine> {
  const folder = await mkdtemp(path.join(tmpdir(), 'quorate-rig-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const bin = path.join(folder, 'bin')
  await mkdir(bin)
  return {
    folder,
    path: bin,
    cache: path.join(folder, 'cache', 'quorate', 'etcd'),
    env: { PATH: bin, XDG_CACHE_HOME: path.join(folder, 'cache') },
  }
}

async function script(file: string, body: string): Promise<string> {
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, `#!/bin/sh\n${body}\n`, { mode: 0o755 })
  return file
}

async function install(folder: string, version: string): Promise<string> {
  await script(path.join(folder, 'etcdctl'), `echo "etcdctl version: ${version}"`)
  return script(path.join(folder, 'etcd'), `echo "etcd Version: ${version}"`)
}

/** An apt-get and a dpkg that deliver the version, and write down each download. */
async function repository({ path: bin, folder }: Machine, version: string): Promise<() => Promise<number>> {
  const log = path.join(folder, 'downloads')
  await writeFile(log, '')
  await script(
    path.join(bin, 'apt-get'),
    `case "$*" in
       *indextargets*) echo "http://archive.invalid/debian bookworm" ;;
       *download*) echo once >> ${log}; /bin/sleep 0.2; : > etcd-server.deb; : > etcd-client.deb ;;
     esac`,
  )
  await script(
    path.join(bin, 'dpkg'),
    `/bin/mkdir -p "$3/usr/bin"
     for name in etcd etcdctl; do
       printf '#!/bin/sh\\necho "%s version: ${version}"\\n' $name > "$3/usr/bin/$name"
     done`,
  )
  return async () => (await readFile(log, 'utf8')).split('\n').length - 1
}

test('ETCD_BIN comes before PATH, PATH before the cache, and only what fits the series is taken', async t => {
  const { env, folder, path: bin, cache } = await machine(t)
  const listed = await install(path.join(folder, 'listed'), '3.4.7')
  await install(path.join(folder, 'folder'), '3.5.7')
  const onPath = await install(bin, '3.5.8')
  const cached = await install(path.join(cache, '3.4.9'), '3.4.9')
  const list = [path.join(folder, 'missing'), listed, path.join(folder, 'folder')].join(path.delimiter)

  t.like(await findEtcd('3.4', { ...env, ETCD_BIN: list }), { path: listed, version: '3.4.7', series: '3.4' })
  t.like(await findEtcd('3.5', { ...env, ETCD_BIN: list }), { path: path.join(folder, 'folder', 'etcd') })
  t.like(await findEtcd('3.5', env), { path: onPath, etcdctl: path.join(bin, 'etcdctl') })
  t.like(await findEtcd('3.4', env), { path: cached, version: '3.4.9' })
})

test('several that fetch at once download once and find the same', async t => {
  const here = await machine(t)
  const downloads = await repository(here, '3.5.30')
  const found = await Promise.all([1, 2, 3].map(() => findEtcd('3.5', here.env)))
  const folder = path.join(here.cache, '3.5.30')
  for (const binary of found) {
    t.like(binary, {
      path: path.join(folder, 'etcd'),
      etcdctl: path.join(folder, 'etcdctl'),
      version: '3.5.30',
    })
  }
  t.is(await downloads(), 1)
  t.deepEqual(await readdir(here.cache), ['3.5.30'])
})

test('what a fetch that was killed left behind neither blocks nor poisons the next', async t => {
  const here = await machine(t)
  await repository(here, '3.5.30')
  // A process id no system gives out.
  await mkdir(path.join(here.cache, '.fetching-3.5'), { recursive: true })
  await writeFile(path.join(here.cache, '.fetching-3.5', 'pid'), '999999999')
  await script(path.join(here.cache, '.staging-3.5-x', 'complete', 'etcd'), 'exit 1')
  await script(path.join(here.cache, '3.5.30', 'etcd'), 'exit 1')
  t.like(await findEtcd('3.5', here.env), {
    path: path.join(here.cache, '3.5.30', 'etcd'),
    version: '3.5.30',
  })
  t.like(await findEtcd('3.5', here.env), {
    path: path.join(here.cache, '3.5.30', 'etcd'),
    version: '3.5.30',
  })
})

test('an etcd of the machine is used even when its etcdctl had to be fetched', async t => {
  const here = await machine(t)
  await repository(here, '3.5.30')
  const own = await script(path.join(here.folder, 'own'), 'echo "etcd Version: 3.5.5"')
  t.like(await findEtcd('3.5', { ...here.env, ETCD_BIN: own }), {
    path: own,
    version: '3.5.5',
    etcdctl: path.join(here.cache, '3.5.30', 'etcdctl'),
  })
})

test('a series that cannot be had fails with one line that says what to install', async t => {
  const { env } = await machine(t)
  const error = await t.throwsAsync(findEtcd('3.4', env))
  t.regex(error.message, /^no etcd 3\.4: install etcd-server 3\.4 .*apt-get/)
  t.false(error.message.includes('\n'))
})

test('a suite that has another series by now is not taken for the one asked for', async t => {
  const here = await machine(t)
  await repository(here, '3.6.1')
  await t.throwsAsync(findEtcd('3.5', here.env), { message: /has etcd 3\.6\.1, not 3\.5/ })
  t.deepEqual(await readdir(here.cache), [])
})
