import { readFileSync } from 'node:fs'
import test from 'ava'
import * as quorate from '../src/index.ts'
import { publicApi, publicApiFile } from './public-api.ts'

test('the public surface is what test/public-api.txt says', t => {
  const written = readFileSync(publicApiFile, 'utf8')
  t.deepEqual(
    publicApi().split('\n'),
    written.split('\n'),
    'if that is meant: npm run build && node dist/test/public-api.js --update',
  )
})

test('every value that is exported is named in it, and every value in it is exported', t => {
  const values = [...publicApi().matchAll(/^(?:abstract )?(?:class|function|const) (\w+)/gm)].map(
    ([, name]) => name!,
  )
  const exported = Object.keys(quorate).sort()
  t.deepEqual(
    exported.filter(name => !values.includes(name)),
    [],
  )
  t.true(exported.length >= 10)
})
