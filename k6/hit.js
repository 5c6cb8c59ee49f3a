// Load on stored responses: does the edge answer from its cache, at the rate asked for, in time?
//
//   k6 run -e EDGE=http://127.0.0.1:8080 -e HOST=demo.localhost -e PATHS=/ k6/hit.js
//
// Every answer is checked: 200, and a Cache-Status (RFC 9211) that says `hit`. The thresholds make k6 exit with 99.

import http from 'k6/http'
import exec from 'k6/execution'
import { check, fail } from 'k6'
import { Rate, Trend } from 'k6/metrics'

const edge = __ENV.EDGE || 'http://127.0.0.1:8080'
const host = __ENV.HOST || 'demo.localhost'
const paths = (__ENV.PATHS || '/').split(',')
const rate = Number(__ENV.RATE || 2000)
const seconds = Number(__ENV.SECONDS || 30)

const hits = new Rate('longshore_hits')
const ages = new Trend('longshore_age_seconds')

export const options = {
  discardResponseBodies: true,
  scenarios: {
    // as many requests a second as asked for, however slow the answers are
    steady: {
      executor: 'constant-arrival-rate',
      exec: 'hit',
      rate,
      timeUnit: '1s',
      duration: `${seconds}s`,
      preAllocatedVUs: 50,
      maxVUs: 500
    },
    // then as fast as a growing number of clients can ask
    crowd: {
      executor: 'ramping-vus',
      exec: 'hit',
      startTime: `${seconds}s`,
      startVUs: 1,
      stages: [
        { target: 100, duration: '10s' },
        { target: 100, duration: `${seconds}s` },
        { target: 0, duration: '5s' }
      ]
    }
  },
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    longshore_hits: ['rate>0.999'],
    'http_req_duration{scenario:steady}': ['p(50)<5', 'p(99)<50'],
    dropped_iterations: ['count==0']
  }
}

function get (path) {
  return http.get(`${edge}${path}`, { headers: { Host: host }, tags: { name: path } })
}

function isHit (response) {
  return /(^|[;,]\s*)hit(\s*[;,]|$)/.test(response.headers['Cache-Status'] || '')
}

// Fills the cache, and refuses to measure what the cache doesn't keep.
export function setup () {
  for (const path of paths) {
    get(path)
    const response = get(path)
    if (response.status !== 200 || !isHit(response)) {
      fail(`${path}: ${response.status}, Cache-Status: ${response.headers['Cache-Status']}`)
    }
  }
}

export function hit () {
  const response = get(paths[exec.scenario.iterationInTest % paths.length])
  check(response, {
    'status is 200': (response) => response.status === 200,
    'Cache-Status says hit': isHit
  })
  hits.add(isHit(response))
  ages.add(Number(response.headers.Age || 0))
}
