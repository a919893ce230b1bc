/** Of `node:util`, which nobody has to import to be called by it. */
const inspected = Symbol.for('nodejs.util.inspect.custom')

interface InspectOptions {
  readonly depth?: number | null | undefined
  stylize(text: string, style: 'special'): string
}

/** Has `console.log` and whatever else goes by Node's `util.inspect` show these facts of a thing, and not its workings. */
export function showAs<Thing extends object>(
  type: { readonly prototype: Thing },
  facts: (thing: Thing) => object,
): void {
  Object.defineProperty(type.prototype, inspected, {
    value(
      this: Thing,
      depth: number,
      options: InspectOptions,
      inspect: (value: object, options: InspectOptions) => string,
    ): string {
      const { name } = this.constructor
      if (depth < 0) return options.stylize(`[${name}]`, 'special')
      return `${name} ${inspect(facts(this), options)}`
    },
  })
}
