import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { Watchdog } from '../support/watchdog.ts'

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Polls, because nobody tells us of the end of a process that is not our child. */
async function until(fact: () => boolean): Promise<void> {
  while (!fact()) await sleep(5)
}

async function folderWithFile(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'quorate-rig-'))
  await writeFile(path.join(folder, 'file'), '')
  return folder
}

for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
  test(`when a process ends by ${signal}, what it guarded ends and its folder goes`, async t => {
    const folder = await folderWithFile()
    const program = `
      import { spawn } from 'node:child_process'
      import { Watchdog } from ${JSON.stringify(new URL('../support/watchdog.js', import.meta.url).href)}
      const watchdog = new Watchdog(${JSON.stringify(folder)})
      const guarded = spawn('sleep', ['600'], { stdio: 'ignore' })
      watchdog.guard(guarded.pid)
      console.log(guarded.pid)`
    const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string]
    const pid = Number(line)
    t.true(isAlive(pid))
    owner.kill(signal)
    await until(() => !isAlive(pid) && !existsSync(folder))
    t.pass()
  })
}

test('a process with nothing left but a watchdog ends by itself', async t => {
  const folder = await folderWithFile()
  const program = `
    import { Watchdog } from ${JSON.stringify(new URL('../support/watchdog.js', import.meta.url).href)}
    new Watchdog(${JSON.stringify(folder)})`
  const owner = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' })
  t.deepEqual(await once(owner, 'exit'), [0, null])
  await until(() => !existsSync(folder))
})

test('finishing kills what is guarded, spares what was forgotten, and removes the folder', async t => {
  const folder = await folderWithFile()
  const watchdog = new Watchdog(folder)
  const guarded = spawn('sleep', ['600'], { stdio: 'ignore' })
  const forgotten = spawn('sleep', ['600'], { stdio: 'ignore' })
  watchdog.guard(forgotten.pid!)
  watchdog.guard(guarded.pid!)
  watchdog.forget(forgotten.pid!)
  const ended = once(guarded, 'exit')
  await watchdog.finish()
  t.deepEqual(await ended, [null, 'SIGKILL'])
  t.false(existsSync(folder))
  t.true(isAlive(forgotten.pid!))
  const released = once(forgotten, 'exit')
  forgotten.kill('SIGTERM')
  t.deepEqual(await released, [null, 'SIGTERM'])
})
