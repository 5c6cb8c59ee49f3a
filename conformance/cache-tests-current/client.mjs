// The client of the suite in CACHE_TESTS: runs every test for proxies against the base URL given, prints the outcomes
// as JSON. What the suite itself prints goes to standard error.

import { pathToFileURL } from 'node:url'

console.log = console.error
const suite = pathToFileURL(process.env.CACHE_TESTS + '/')
const { default: suites } = await import(new URL('tests/index.mjs', suite))
const { runTests, getResults } = await import(new URL('test-engine/client/runner.mjs', suite))

await runTests(suites, false, process.argv[2])
const results = getResults()
const outcomes = suites.flatMap(suite => suite.tests
  .filter(test => test.id in results)
  .map(test => ({
    id: test.id,
    suite: suite.name,
    kind: test.kind ?? 'required',
    depends_on: test.depends_on ?? [],
    failure: results[test.id] === true ? null : results[test.id]
  })))
process.stdout.write(JSON.stringify(outcomes), () => process.exit(0))
