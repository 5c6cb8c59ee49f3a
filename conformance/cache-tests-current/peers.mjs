// Beside what the suite publishes of other caches: a table of each suite's required and optimal tests passed, ours and
// the best of any proxy's. peers.mjs RESULTS, where RESULTS is the cache-tests.json of a run.

import { readFile, readdir } from 'node:fs/promises'

const outcomes = JSON.parse(await readFile(process.argv[2]))
const directory = `${process.env.CACHE_TESTS}/results`
const browsers = ['chrome', 'firefox', 'safari']
const names = (await readdir(directory))
  .filter(file => file.endsWith('.json'))
  .map(file => file.slice(0, -5))
  .filter(name => !browsers.includes(name))
const peers = new Map()
for (const name of names) {
  peers.set(name, JSON.parse(await readFile(`${directory}/${name}.json`)))
}
const byId = new Map(outcomes.map(outcome => [outcome.id, outcome]))
// a test counts with the tests that it depends on
const counts = (id, passed) =>
  passed(id) && (byId.get(id)?.depends_on ?? []).every(other => counts(other, passed))
const ours = id => byId.get(id)?.failure === null
const score = (tests, passed) => tests.filter(test => counts(test.id, passed)).length
const suites = [...new Set(outcomes.map(outcome => outcome.suite))].sort()

const cells = tests => {
  if (tests.length === 0) return ['', '']
  const best = Math.max(...[...peers.values()].map(peer => score(tests, id => peer[id] === true)))
  return [`${score(tests, ours)}/${tests.length}`, `${best}`]
}
const row = (name, cells) => `${name.padEnd(60)}${cells.map(cell => cell.padStart(10)).join('')}`
console.log(row('suite', ['required', 'best', 'optimal', 'best']))
for (const suite of [...suites, undefined]) {
  const tests = kind => outcomes.filter(
    outcome => outcome.kind === kind && (suite === undefined || outcome.suite === suite))
  console.log(row(suite ?? 'all (best: of one peer)', [...cells(tests('required')), ...cells(tests('optimal'))]))
}
console.log(`peers: ${names.join(', ')}`)
