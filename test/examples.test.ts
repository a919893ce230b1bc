import test from 'ava'
import type { Entry } from '../examples/demo/messages.ts'
import { prove } from '../examples/demo/proof.ts'

const nobody: ReadonlySet<string> = new Set()

test('jobs that begin and end one after another, with rising tokens, are in order', t => {
  const entries = [...job('ada', 3), ...job('ben', 5), ...job('ben', 6)]
  t.deepEqual(prove(entries, nobody), { finished: 3, brokenOff: [], handOvers: 1, faults: [] })
})

test('a job that begins within another is a fault', t => {
  const [begin, end] = job('ada', 3)
  const { faults } = prove([begin, ...job('ben', 5), end], nobody)
  t.deepEqual(faults, [
    'ben (token 5) overlapped ada (token 3)',
    'token 3 ended a job that was not the open one',
  ])
})

test('the job of a holder that was killed may stay open, but nobody may end it later', t => {
  const [begin, end] = job('ada', 3)
  const killed = new Set(['3'])
  t.like(prove([begin, ...job('ben', 5)], killed), { finished: 1, brokenOff: ['3'], faults: [] })
  t.is(prove([begin, ...job('ben', 5), end], killed).faults.length, 1)
})

test('a token that does not rise is a fault', t => {
  t.deepEqual(prove([...job('ada', 5), ...job('ben', 5)], nobody).faults, ['token 5 came after 5'])
  t.deepEqual(prove([...job('ada', 5), ...job('ben', 4)], nobody).faults, ['token 4 came after 5'])
})

function job(worker: string, token: number): [Entry, Entry] {
  return [
    { what: 'begin', token: String(token), worker },
    { what: 'end', token: String(token), worker },
  ]
}
