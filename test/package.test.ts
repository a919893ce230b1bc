import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { run } from './support/executable.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
/** A folder of a user, with the package installed from its tarball. */
let home: string
let installed: string
let packed: readonly string[]

test.before('the package is packed and installed', async () => {
  home = await mkdtemp(path.join(tmpdir(), 'quorate-package-'))
  // Without scripts: they would build anew what this test runs from.
  const args = ['pack', '--json', '--ignore-scripts', `--pack-destination=${home}`]
  const { stdout } = await run('npm', args, { cwd: root })
  const [{ filename, files }] = JSON.parse(stdout) as [
    { readonly filename: string; readonly files: readonly { readonly path: string }[] },
  ]
  packed = files.map(file => file.path)
  await run('tar', ['-xzf', filename], { cwd: home })
  const modules = path.join(home, 'node_modules')
  installed = path.join(modules, 'quorate')
  await mkdir(modules)
  await symlink(path.join(home, 'package'), installed)
  const { dependencies } = await manifest()
  // Its dependencies as they are here: what is tested is the tarball, not the registry.
  for (const name of [...Object.keys(dependencies), '@types/node']) {
    await mkdir(path.dirname(path.join(modules, name)), { recursive: true })
    await symlink(path.join(root, 'node_modules', name), path.join(modules, name))
  }
  // The package is found where it was installed, not where the link leads.
  await writeFile(path.join(home, 'package.json'), '{ "private": true }')
})

test.after.always('the folder is removed', () => rm(home, { recursive: true, force: true }))

test('the tarball holds the compiled library, its protos and what is about it, and nothing else', t => {
  const expected = [
    /^dist\/(?:src|recipes)\/.*\.(?:js|d\.ts)$/,
    /^proto\/etcd\/\w+\.proto$/,
    /^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md|proto\/README\.md)$/,
  ]
  t.deepEqual(
    packed.filter(file => !expected.some(pattern => pattern.test(file))),
    [],
  )
  for (const file of ['README.md', 'LICENSE', 'CHANGELOG.md', 'dist/src/index.js', 'dist/src/index.d.ts'])
    t.true(packed.includes(file), file)
})

test('every source of the library is in the tarball, compiled and declared', async t => {
  for (const folder of ['src', 'recipes']) {
    const sources = await readdir(path.join(root, folder), { recursive: true })
    for (const source of sources.filter(name => name.endsWith('.ts'))) {
      const compiled = path.posix.join('dist', folder, source.replace(/\.ts$/, ''))
      t.true(packed.includes(`${compiled}.js`) && packed.includes(`${compiled}.d.ts`), source)
    }
  }
})

test('every entry point leads to a file of the tarball', async t => {
  const { exports } = await manifest()
  const targets = Object.values(exports).flatMap(entry =>
    typeof entry === 'string' ? entry : Object.values(entry),
  )
  t.deepEqual(
    targets.filter(target => !packed.includes(path.posix.normalize(target))),
    [],
  )
})

test('import and require find the same library', async t => {
  const program = `
    const required = require('quorate')
    import('quorate').then(imported => {
      console.log(required.connect === imported.connect, typeof imported.connect, typeof imported.EtcdError)
    })`
  const { stdout } = await run(process.execPath, ['--no-warnings', '-e', program], { cwd: home })
  t.is(stdout.trim(), 'true function function')
})

test('what is inside the package is not for import', async t => {
  await t.throwsAsync(
    run(process.execPath, ['-e', "import('quorate/dist/src/client/client.js')"], { cwd: home }),
    { message: /ERR_PACKAGE_PATH_NOT_EXPORTED/ },
  )
})

test('importing it starts nothing: a process that does only that ends', async t => {
  const program = `import('quorate').then(() => console.log(process.getActiveResourcesInfo().join()))`
  const { stdout } = await run(process.execPath, ['-e', program], { cwd: home, timeoutMs: 30_000 })
  t.notRegex(stdout, /Timeout|Socket|TCP/)
})

for (const resolution of ['nodenext', 'bundler']) {
  test(`a program in TypeScript compiles against it under ${resolution}`, async t => {
    const folder = path.join(home, resolution)
    await mkdir(folder)
    await writeFile(path.join(folder, 'program.mts'), consumer)
    await writeFile(
      path.join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: optionsFor(resolution) }),
    )
    const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const { stdout } = await run(process.execPath, [compiler, '-p', folder], { cwd: home })
    t.is(stdout, '')
  })
}

/** Uses the types: what is wrong below must be an error, or the directive is one. */
const consumer = `
import { compare, connect, type Hold, op, type Session } from 'quorate'

async function work(session: Session): Promise<bigint> {
  const hold: Hold = await session.mutex('/locks/x').lock({ signal: AbortSignal.timeout(1000) })
  return hold.fencingToken
}

const etcd = await connect('127.0.0.1:2379')
const token: bigint = await work(await etcd.session({ ttl: 10 }))
const result = await etcd.txn({ if: [compare('k').version.equals(0n)], then: [op.put('k', String(token))], else: [op.get('k')] })
const text: string | undefined = result.succeeded ? undefined : result.results[0]?.text()
// @ts-expect-error versions are bigint
compare('k').version.equals(0)
// @ts-expect-error there is no such option
await etcd.session({ timeToLive: 10 })
export { text }

// A program may hand on what it has, and leave its type to the compiler, which must be able to name it.
export { etcd, result }
export const { auth, cluster, lease, maintenance } = etcd
export const mutex = etcd.mutex('x')
export const session = await etcd.session()
export const mode = (await session.rwMutex('y').readLock()).mode
export const permit = await session.semaphore('z', { permits: 2 }).acquire()
export const leadership = await session.election('e').campaign('me')
export const joint = await session.lockAll(['a'])
export const outcome = await etcd.stm(tx => tx.get('k'))
export const arrival = await session.cyclicBarrier('c', 2).await()
export const watch = etcd.watch('k')

// What is optional may be left undefined.
declare const maybe: undefined
await connect('127.0.0.1:2379', { tls: { ca: maybe, serverName: maybe }, credentials: maybe, signal: maybe })
await etcd.lead('e', () => {}, { backoff: { initialMs: maybe, maxMs: maybe }, owner: maybe })
`

function optionsFor(resolution: string): Readonly<Record<string, unknown>> {
  return {
    module: resolution === 'bundler' ? 'esnext' : 'nodenext',
    moduleResolution: resolution,
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    declaration: true,
    emitDeclarationOnly: true,
  }
}

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
}

async function manifest(): Promise<Manifest> {
  return JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as Manifest
}
