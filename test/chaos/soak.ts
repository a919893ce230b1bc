/**
 * Random faults on three members, their networks and the processes that use them, round after round. Each round
 * works on keys of its own; at its end everything is mended, everybody must come to rest, and the history of the
 * round is checked.
 */
import { mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { EtcdError } from '../../src/index.ts'
import type { Commit, History, Violation } from '../checkers/history.ts'
import type { Series } from '../support/etcd-binaries.ts'
import { FaultyCluster } from '../support/etcd-cluster.ts'
import { accountOf } from './account-of.ts'
import { Chance } from './chance.ts'
import { sharedNowMs } from './clock.ts'
import { WorkingCrew } from './crew.ts'
import { deedsIn } from './deeds.ts'
import { memberFaults } from './faults/of-members.ts'
import { networkFaults } from './faults/of-networks.ts'
import { peopleFaults } from './faults/of-people.ts'
import { historyOf } from './history-of.ts'
import { Journal, readJournals } from './journal.ts'
import { judge, keepHistory } from './judge.ts'
import { within } from './log-file.ts'
import type { Footprint, Round } from './messages.ts'
import { placesOn } from './places.ts'
import { Recording } from './recording.ts'
import { makeRoom } from './room.ts'
import { type Stage, untilDone, wield } from './stage.ts'
import { Tally } from './tally.ts'

export interface SoakOptions {
  readonly series: Series
  readonly seed: number
  readonly seconds: number
  /** Of faults in each round. */
  readonly roundSeconds: number
  /** Where histories go; those of rounds without a violation are removed. */
  readonly folder: string
  readonly say: (line: string) => void
}

export interface SoakResult {
  readonly rounds: number
  readonly faults: Tally
  /** Entries of the histories, by table. */
  readonly entries: Tally
  /** What was achieved: locks, terms, transactions, rounds. */
  readonly deeds: Tally
  readonly sessionsLost: Tally
  /** Rejections of calls, by code. */
  readonly errors: Tally
  readonly violations: readonly Violation[]
  /** What else must not happen: a process that died, one that did not come to rest, members that differ. */
  readonly troubles: readonly string[]
  readonly slowestRestMs: number
  readonly footprints: ReadonlyMap<string, readonly Footprint[]>
  /** Folders of the rounds that broke a promise. */
  readonly kept: readonly string[]
}

/** Small, since a member that starts reads all that was ever written. */
const QUOTA_BYTES = 24 * 2 ** 20

export async function soak(options: SoakOptions): Promise<SoakResult> {
  await mkdir(options.folder, { recursive: true })
  await using cluster = await FaultyCluster.start({
    series: options.series,
    quotaBackendBytes: QUOTA_BYTES,
    peers: true,
  })
  const run = new Soak(options, cluster)
  try {
    await run.start()
    await run.rounds()
    return run.result()
  } finally {
    await run.close()
  }
}

class Soak {
  readonly #options: SoakOptions
  readonly #cluster: FaultyCluster
  readonly #chance: Chance
  readonly #faults = new Tally()
  readonly #entries = new Tally()
  readonly #deeds = new Tally()
  readonly #sessionsLost = new Tally()
  readonly #errors = new Tally()
  readonly #violations: Violation[] = []
  readonly #troubles: string[] = []
  readonly #footprints = new Map<string, Footprint[]>()
  readonly #kept: string[] = []
  #networks: Stage['networks'] = []
  #recording: Recording | undefined
  #crew: WorkingCrew | undefined
  #rounds = 0
  #slowestRestMs = 0

  constructor(options: SoakOptions, cluster: FaultyCluster) {
    this.#options = options
    this.#cluster = cluster
    this.#chance = new Chance(options.seed)
  }

  async start(): Promise<void> {
    const { folder, seed } = this.#options
    const [one, other] = await Promise.all([this.#cluster.network(), this.#cluster.network()])
    this.#networks = [one, other]
    const log = path.join(folder, 'log.ndjson')
    await rm(log, { force: true })
    this.#recording = await Recording.start(this.#cluster.endpoints, log)
    this.#crew = await WorkingCrew.start(placesOn(one, other), seed)
  }

  async rounds(): Promise<void> {
    const endsAtMs = performance.now() + this.#options.seconds * 1000
    while (performance.now() < endsAtMs) {
      const leftMs = endsAtMs - performance.now()
      await this.#round(Math.min(this.#options.roundSeconds * 1000, Math.max(leftMs, 5000)))
      // After that nothing that follows would mean anything.
      if (this.#troubles.length > 0) return
    }
    await this.#crew?.leave()
    this.#troubles.push(...(this.#crew?.troubles.splice(0) ?? []))
  }

  result(): SoakResult {
    return {
      rounds: this.#rounds,
      faults: this.#faults,
      entries: this.#entries,
      deeds: this.#deeds,
      sessionsLost: this.#sessionsLost,
      errors: this.#errors,
      violations: this.#violations,
      troubles: this.#troubles,
      slowestRestMs: this.#slowestRestMs,
      footprints: this.#footprints,
      kept: this.#kept,
    }
  }

  async close(): Promise<void> {
    await this.#crew?.kill()
    await this.#recording?.close()
  }

  async #round(faultsMs: number): Promise<void> {
    const [crew, recording, etcd] = [this.#crew!, this.#recording!, this.#cluster.control]
    const number = ++this.#rounds
    const folder = path.join(this.#options.folder, `round-${number}`)
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    const journal = new Journal(path.join(folder, 'director.ndjson'), `director-${number}`)
    const prefix = `/round-${number}/`
    const round: Round = { prefix, folder, since: (await etcd.range(prefix)).revision }

    crew.work(round)
    await this.#strike({ round, journal }, faultsMs)
    await this.#cluster.mend()
    // The histories alone may have filled the database.
    await makeRoom(etcd, this.#cluster.endpoints, () => recording.recorded())
    const restedMs = await crew.rest()
    this.#slowestRestMs = Math.max(this.#slowestRestMs, restedMs)
    const until = await this.#putTheEnd(round, journal)
    const footprints = await crew.end(until)
    for (const [name, footprint] of footprints) {
      this.#footprints.set(name, [...(this.#footprints.get(name) ?? []), footprint])
    }
    journal.close()
    crew.look()
    const commits = within(prefix, await recording.commits(round.since, until))
    this.#troubles.push(...crew.troubles.splice(0), ...recording.troubles.splice(0))
    const summary = await this.#check(round, commits, crew.deaths)
    this.#options.say(`round ${number}: ${summary}, at rest after ${Math.round(restedMs)} ms`)
  }

  async #strike(parts: Pick<Stage, 'round' | 'journal'>, forMs: number): Promise<void> {
    const stop = new AbortController()
    const timer = setTimeout(() => stop.abort(), forMs)
    const stage = (): Stage => ({
      ...parts,
      cluster: this.#cluster,
      networks: this.#networks,
      crew: this.#crew!,
      chance: this.#chance.fork(),
      recorded: () => this.#recording!.recorded(),
    })
    try {
      await Promise.all(
        [memberFaults, networkFaults, peopleFaults].map(faults =>
          wield(faults, stage(), stop.signal, this.#faults),
        ),
      )
    } finally {
      clearTimeout(timer)
      stop.abort()
    }
  }

  /** The last write of the round: watchers have been told everything when they have been told this. */
  async #putTheEnd({ prefix }: Round, journal: Journal): Promise<bigint> {
    let revision = 0n
    await untilDone('the last write', async () => {
      const key = `${prefix}kv/end`
      const value = journal.value()
      const id = journal.begin('writes', { key, value, invokedAt: sharedNowMs() })
      revision = await this.#put(key, value)
      journal.more('writes', id, { settledAt: sharedNowMs(), outcome: 'ok', revision })
    })
    return revision
  }

  /** A member that was behind raises the alarm when it comes to the writes that filled it, also after a repair. */
  async #put(key: string, value: string): Promise<bigint> {
    const { control, endpoints } = this.#cluster
    try {
      return (await control.put(key, value)).revision
    } catch (error) {
      if (EtcdError.is(error, 'NO_SPACE')) {
        this.#options.say('  the database is full again')
        await makeRoom(control, endpoints, () => this.#recording!.recorded())
      }
      throw error
    }
  }

  async #check(
    { folder, prefix }: Round,
    commits: readonly Commit[],
    deaths: ReadonlyMap<string, number>,
  ): Promise<string> {
    const files = (await readdir(folder)).filter(name => name.endsWith('.ndjson'))
    const entries = await readJournals(files.map(name => path.join(folder, name)))
    const history = historyOf(commits, entries, deaths)
    const account = accountOf(entries)
    const deeds = deedsIn(prefix, history, account)
    for (const [name, count] of deeds.entries()) this.#deeds.add(name, count)
    for (const { table, ...entry } of entries) {
      this.#entries.add(table)
      if (table === 'sessions' && entry.believedUntil !== undefined)
        this.#sessionsLost.add(String(entry.reason))
      if (table === 'acquisitions' && entry.loss !== undefined) this.#entries.add(`holds lost: ${entry.loss}`)
      if (table === 'troubles') this.#errors.add(String(entry.what))
      else if (entry.error !== undefined) this.#errors.add(`${table}: ${entry.error}`)
    }
    this.#entries.add('commits', commits.filter(({ changes }) => changes.length > 0).length)
    const violations = judge(prefix, history, account, deaths)
    this.#violations.push(...violations)
    if (violations.length === 0 && this.#troubles.length === 0) await rm(folder, { recursive: true })
    else await this.#keep(folder, history, violations)
    return `${entries.length} entries, ${commits.length} commits, ${deeds}, ${violations.length} violations`
  }

  async #keep(folder: string, history: History, violations: readonly Violation[]): Promise<void> {
    await keepHistory(folder, history, violations, this.#troubles)
    this.#kept.push(folder)
    for (const { rule, message } of violations.slice(0, 10)) this.#options.say(`  ${rule}: ${message}`)
    for (const trouble of this.#troubles) this.#options.say(`  ${trouble}`)
  }
}
