import type { Scenario } from '../scenario.ts'
import { blackHole } from './black-hole.ts'
import { compaction } from './compaction.ts'
import { databaseFull } from './database-full.ts'
import { leaderKilled, leaderMoves, sessionsSurvive } from './leader.ts'
import { lossNotice } from './loss-notice.ts'
import { operator } from './operator.ts'
import { networkOutage, serverOutage } from './outage.ts'
import { repliesLost } from './replies-lost.ts'
import { silentEndpoint } from './silent-endpoint.ts'
import { takeover, takeoverAfterLeaderChanges } from './takeover.ts'

/** Every promise that is put to the test by itself. */
export const scenarios: readonly Scenario[] = [
  silentEndpoint,
  blackHole,
  networkOutage,
  lossNotice,
  operator,
  takeover,
  repliesLost,
  compaction,
  databaseFull,
  leaderMoves,
  leaderKilled,
  serverOutage,
  takeoverAfterLeaderChanges,
  sessionsSurvive,
]
