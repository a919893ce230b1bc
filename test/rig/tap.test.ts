import test from 'ava'
import { TapReader } from '../support/tap.ts'

function read(text: string): { reader: TapReader; failures: (readonly string[])[] } {
  const failures: (readonly string[])[] = []
  const reader = new TapReader(lines => failures.push(lines))
  for (const line of text.split('\n')) reader.line(line)
  reader.end()
  return { reader, failures }
}

test('results are counted by kind, whatever their titles and logs say', t => {
  const { reader } = read(
    [
      'TAP version 13',
      'ok 1 - file › not ok is what this one is called',
      '#   not ok 7 - a logged line',
      'not ok 2 - file › breaks',
      'ok 3 - file › left out # SKIP',
      'not ok 4 - file › to be written # TODO',
      '1..4',
      '# fail 1',
    ].join('\n'),
  )
  t.deepEqual(reader.totals, { passed: 1, failed: 1, leftOut: 2 })
  t.true(reader.isWhole)
})

test('a failure is told with the lines that explain it and no others', t => {
  const { failures } = read(
    [
      'not ok 1 - one',
      '  ---',
      '    at: here',
      '  ...',
      'ok 2 - two',
      '# a log',
      'not ok 3 - three',
      '1..3',
      '# end',
    ].join('\n'),
  )
  t.deepEqual(failures, [['one', '  ---', '    at: here', '  ...'], ['three']])
})

test('a stream without its plan was broken off, and its last failure is told all the same', t => {
  const { reader, failures } = read('ok 1 - one\nnot ok 2 - two')
  t.false(reader.isWhole)
  t.deepEqual(failures, [['two']])
})
