/** What would bring the time and the chance of the machine into a run that is to be the same each time. */
const TRAPS: readonly { readonly owner: object; readonly name: string }[] = [
  { owner: Date, name: 'now' },
  { owner: performance, name: 'now' },
  { owner: Math, name: 'random' },
  { owner: globalThis, name: 'setTimeout' },
  { owner: globalThis, name: 'setInterval' },
  { owner: globalThis, name: 'setImmediate' },
  { owner: globalThis, name: 'queueMicrotask' },
]

/** Runs `work` while every one of them throws: whoever uses one by the way is found, not played along with. */
export async function withoutGlobals<Result>(work: () => Promise<Result>): Promise<Result> {
  const before = TRAPS.map(({ owner, name }) => Object.getOwnPropertyDescriptor(owner, name))
  for (const { owner, name } of TRAPS) {
    const trap = () => {
      throw new Error(`${name} of the machine was used inside a simulation`)
    }
    Object.defineProperty(owner, name, { value: trap, configurable: true, writable: true })
  }
  try {
    return await work()
  } finally {
    for (const [index, { owner, name }] of TRAPS.entries()) {
      const was = before[index]
      if (was === undefined) Reflect.deleteProperty(owner, name)
      else Object.defineProperty(owner, name, was)
    }
  }
}
