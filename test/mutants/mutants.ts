import { beliefInLeases } from './list/belief-in-leases.ts'
import { connections } from './list/connections.ts'
import { elections } from './list/elections.ts'
import { ghosts } from './list/ghosts.ts'
import { groundFloor } from './list/ground-floor.ts'
import { holding } from './list/holding.ts'
import { leaving } from './list/leaving.ts'
import { line } from './list/line.ts'
import { rendezvous } from './list/rendezvous.ts'
import { requests } from './list/requests.ts'
import { semaphore } from './list/semaphore.ts'
import { transactions } from './list/transactions.ts'
import { turnsAndTokens } from './list/turns-and-tokens.ts'
import { watches } from './list/watches.ts'
import type { Mutant } from './mutant.ts'

/** Every way the library is broken on purpose. */
export const mutants: readonly Mutant[] = [
  ...beliefInLeases,
  ...leaving,
  ...turnsAndTokens,
  ...ghosts,
  ...line,
  ...holding,
  ...watches,
  ...requests,
  ...connections,
  ...groundFloor,
  ...rendezvous,
  ...semaphore,
  ...elections,
  ...transactions,
]
