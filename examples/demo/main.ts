/**
 * Four processes fight for one lock around a job that must never run twice at once, and elect one of them to lead.
 * The demo kills a holder, stops another until its lock is somebody else's, wakes it, kills the leader and shows who
 * follows. Then it proves from what was written that no two jobs overlapped, nothing from the past got through, and
 * nobody led beside another. The exit status is 1 if that proof fails.
 */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/index.ts'
import { Watchdog } from '../../test/support/watchdog.ts'
import { Worker } from './crew.ts'
import { Ledger } from './ledger.ts'
import { counterKey, type Entry, electionName, type FromWorker, lockName } from './messages.ts'
import { Paper } from './paper.ts'
import { prove } from './proof.ts'
import { Reigns } from './reigns.ts'
import { type DemoServer, startServer } from './server.ts'

const names = ['ada', 'ben', 'cleo', 'dan']
const patienceMs = 30_000
/** Which job is hit by what, counted by their beginnings. */
const killedJob = 7
const stoppedJob = 14
const wakeAfterJob = 18
const lastJob = 24

const stopped = new AbortController()
process.once('SIGINT', () => stopped.abort('interrupted'))
process.once('SIGTERM', () => stopped.abort('interrupted'))
const patience = setTimeout(() => stopped.abort(`not done within ${patienceMs / 1000} s`), patienceMs)

const folder = await mkdtemp(path.join(tmpdir(), 'quorate-demo-'))
// Kills what is left, and removes the folder, however this process ends.
const watchdog = new Watchdog(folder)
const paper = new Paper(names)
let server: DemoServer | undefined
try {
  server = await startServer()
  process.exitCode = (await show(server)) ? 0 : 1
} catch (error) {
  paper.say(`The demo was broken off: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = stopped.signal.reason === 'interrupted' ? 130 : 1
} finally {
  clearTimeout(patience)
  await server?.close()
  await watchdog.finish()
}

/** Everything, from the first worker to the summary. Resolves with whether the proof holds. */
async function show({ what, endpoint }: DemoServer): Promise<boolean> {
  stopped.signal.throwIfAborted()
  const ledger = new Ledger(path.join(folder, 'ledger.txt'))
  const interrupted = new Set<string>()
  const resting = new Set<Worker>()
  const takeOvers: { readonly from: string; readonly sinceMs: number }[] = []
  const late: (FromWorker & { kind: 'job' })[] = []
  let begun = 0
  let killed: Worker | undefined
  let zombie: Worker | undefined
  let zombieTold = false
  let finish: () => void = () => {}
  const finished = new Promise<void>(resolve => {
    finish = resolve
  })

  const hear = (worker: Worker, message: FromWorker) => {
    if (message.kind === 'write') {
      const accepted = ledger.write(message.entry)
      worker.tell({ kind: 'answer', number: message.number, accepted })
      if (accepted && message.entry.what === 'begin') onBegin(worker, message.entry)
    }
    if (message.kind === 'rests') resting.add(worker)
    if (message.kind === 'job' && interrupted.has(message.token)) onLate(worker, message)
  }

  const onBegin = (worker: Worker, { token }: Entry) => {
    begun += 1
    const takeOver = takeOvers.pop()
    paper.mark(worker.name, `██ ${token}`, 'green')
    if (takeOver !== undefined) {
      const seconds = ((performance.now() - takeOver.sinceMs) / 1000).toFixed(1)
      paper.note(`→ ${worker.name} took over from ${takeOver.from} after ${seconds} s, with token ${token}`)
    }
    if (begun === killedJob) {
      killed = worker
      interrupt(worker, token, `✝ killed, holding ${token}`)
      worker.kill()
    }
    if (begun === stoppedJob) {
      zombie = worker
      interrupt(worker, token, `‖ stopped, holding ${token}`)
      worker.stop()
    }
    if (begun === wakeAfterJob && zombie !== undefined) {
      paper.mark(zombie.name, '▶ woken', 'yellow')
      zombie.wake()
    }
    if (begun >= lastJob && zombieTold) finish()
  }

  const interrupt = (worker: Worker, token: string, text: string) => {
    interrupted.add(token)
    takeOvers.push({ from: worker.name, sinceMs: performance.now() })
    paper.mark(worker.name, text, 'red')
    paper.note('  the others wait until its lease is over: two seconds without a sign of life', 'dim')
  }

  const onLate = (worker: Worker, job: FromWorker & { kind: 'job' }) => {
    late.push(job)
    zombieTold = true
    paper.mark(
      worker.name,
      `✗ late write with token ${job.token}: ${job.ledger} by the ledger, ${job.etcd} by etcd`,
      'yellow',
    )
  }

  const workers = names.map(name => new Worker(name, watchdog, hear))
  await using client = await connect(endpoint)
  const reigns = new Reigns(client.election(electionName), (name, token) =>
    paper.mark(name, `♛ leads, token ${token}`, 'bold'),
  )
  let succession: { readonly from: string; readonly to: string } | undefined
  try {
    await within(Promise.all(workers.map(({ ready }) => ready)))
    paper.say()
    paper.say(
      `${what} on ${endpoint}; ${workers.map(({ name, pid }) => `${name} is process ${pid}`).join(', ')}`,
    )
    paper.say(
      `All want ${lockName}. Each ██ is a job under the lock, with its fencing token. ♛ leads them all.`,
    )
    paper.say()
    paper.heading()
    for (const worker of workers) worker.tell({ kind: 'go', endpoint, name: lockName })
    await within(finished)
    for (const worker of workers) worker.tell({ kind: 'rest' })
    await within(until(() => workers.every(worker => !worker.isRunning || resting.has(worker))))
    const leader = await within(reigns.leader())
    const sinceMs = performance.now()
    paper.mark(leader.name, '✝ killed, leading', 'red')
    workers.find(({ name }) => name === leader.name)?.kill()
    const next = await within(reigns.after(leader.token))
    succession = { from: leader.name, to: next.name }
    const seconds = ((performance.now() - sinceMs) / 1000).toFixed(1)
    paper.note(`→ ${next.name} leads after ${leader.name}, ${seconds} s later, with token ${next.token}`)
    // What comes now is leaving, one after the other.
    await reigns.close()
    for (const worker of workers) worker.tell({ kind: 'finish' })
    await within(Promise.all(workers.map(({ exited }) => exited)))
  } finally {
    for (const worker of workers) if (worker.isRunning) worker.kill()
    await reigns.close()
  }

  const counted = Number((await client.get(counterKey))?.text() ?? 0)
  const left = await client.mutex(lockName).holder()
  const { finished: done, brokenOff, handOvers, faults } = prove(ledger.read(), interrupted)
  const claims: readonly (readonly [boolean, string])[] = [
    [
      faults.length === 0,
      `no two of ${begun} jobs overlapped, and every token was larger than the one before`,
    ],
    [
      brokenOff.length === 2 && killed !== undefined,
      `both holders that were interrupted were followed by the next in line`,
    ],
    [
      late.length === 1 &&
        late.every(job => job.ledger === 'refused' && job.etcd === 'refused' && job.believed === 'lost'),
      `${zombie?.name ?? 'nobody'} woke up, knew that its lock was lost, wrote all the same, and was refused twice`,
    ],
    [
      counted === done,
      `${done} jobs ended in the ledger, ${counted} were counted in etcd under the guard of the lock`,
    ],
    [
      succession !== undefined && succession.from !== succession.to && reigns.inOrder,
      `${succession?.to ?? 'nobody'} followed ${succession?.from ?? 'nobody'} as leader; of ${reigns.count} reigns each had a larger token`,
    ],
    [left === undefined, 'nothing is left in the line'],
  ]
  paper.say()
  for (const [holds, claim] of claims)
    paper.say(`${holds ? paper.paint('green', '✔') : paper.paint('red', '✘')} ${claim}`)
  for (const fault of faults) paper.say(`  ${paper.paint('red', fault)}`)
  const proved = claims.every(([holds]) => holds)
  paper.say()
  paper.say(
    proved
      ? paper.paint(
          'bold',
          `Proved: ${begun} jobs, ${handOvers} hand-overs, two kills, one zombie, one job and one leader at a time.`,
        )
      : paper.paint('red', 'NOT proved: see above.'),
  )
  return proved
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) {
    await sleep(20)
    stopped.signal.throwIfAborted()
  }
}

/** The demo is over when somebody interrupts it, or when it takes too long. */
function within<Result>(promise: Promise<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new Error(String(stopped.signal.reason)))
    if (stopped.signal.aborted) return giveUp()
    stopped.signal.addEventListener('abort', giveUp, { once: true })
    promise.then(resolve, reject).finally(() => stopped.signal.removeEventListener('abort', giveUp))
  })
}
