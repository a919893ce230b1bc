import type { TcpProxy } from '../../support/tcp-proxy.ts'
import type { Fault, Stage } from '../stage.ts'

/** What happens between clients and servers. */
export const networkFaults: readonly Fault[] = [
  lasting('black hole', 3, proxy => proxy.blackhole('both')),
  lasting('black hole up', 2, proxy => proxy.blackhole('up')),
  lasting('black hole down', 3, proxy => proxy.blackhole('down')),
  lasting('stall', 2, proxy => proxy.stall('both')),
  lasting('refused', 2, proxy => {
    proxy.refuse()
    proxy.reset()
  }),
  lasting('silence', 3, proxy => {
    proxy.acceptSilently()
    proxy.reset()
  }),
  lasting('replies lost', 5, proxy => {
    proxy.loseReplies()
    proxy.reset()
  }),
  lasting('delay', 2, (proxy, { chance }) => proxy.delay(chance.between(20, 400))),
  lasting('slices', 2, (proxy, { chance }) => proxy.slice(chance.between(1, 40))),
  striking('reset', proxy => proxy.reset()),
  striking('end', proxy => proxy.end()),
]

function lasting(name: string, weight: number, strike: (proxy: TcpProxy, stage: Stage) => void): Fault {
  return {
    name,
    weight,
    lasts: [500, 6000],
    async strike(stage) {
      const struck = someOf(stage)
      for (const proxy of struck) strike(proxy, stage)
      return async () => void (await Promise.all(struck.map(proxy => proxy.heal())))
    },
  }
}

function striking(name: string, strike: (proxy: TcpProxy) => void): Fault {
  return {
    name,
    weight: 3,
    lasts: [0, 500],
    async strike(stage) {
      for (const proxy of someOf(stage)) strike(proxy)
      return async () => {}
    },
  }
}

/** One, two or all ways to the members, for the users of one network. */
function someOf({ chance, networks }: Stage): readonly TcpProxy[] {
  const { proxies } = chance.of(networks)
  if (chance.happens(0.15)) return proxies
  const one = chance.between(0, 2)
  return chance.happens(0.5) ? [proxies[one]!] : proxies.filter((_, index) => index !== one)
}
