// The suite's own client: runs every test for proxies against the base URL given, prints the outcomes as JSON.

import http from 'node:http'
import fetch from 'node-fetch'
import tests from 'http-cache-tests/tests/index.mjs'
import surrogate from 'http-cache-tests/tests/surrogate-control.mjs'
import { runTests, getResults } from 'http-cache-tests/client/runner.mjs'

const suites = [...tests, surrogate]
// a connection for each request: what a cache does with connections is not what this suite asks
const agent = new http.Agent({ keepAlive: false })
await runTests(suites, (url, init) => fetch(url, { ...init, agent }), false, process.argv[2])
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
process.stdout.write(JSON.stringify(outcomes))
process.exit(0)
