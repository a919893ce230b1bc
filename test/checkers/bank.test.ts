import test from 'ava'
import { Bank } from '../support/bank.ts'
import { checkBank } from './bank.ts'
import { history, put } from './hand-written.ts'

const bank = new Bank('bank/', ['a', 'b'])

test('money that is moved is still there', t => {
  const { log } = history({
    log: [[put('bank/a', 2n, '70|x|from'), put('bank/b', 2n, '130|x|to')], [put('elsewhere', 3n, '1')]],
  })
  t.deepEqual(checkBank(log, bank), [])
})

test('money that comes from nowhere is found', t => {
  const { log } = history({ log: [[put('bank/b', 2n, '130|x|to')]] })
  t.deepEqual(
    checkBank(log, bank).map(({ rule }) => rule),
    ['bank-not-balanced'],
  )
})
