// The origin of the suite in CACHE_TESTS, on a port that the kernel chooses. Prints one line of JSON when it listens.

import http from 'node:http'
import { pathToFileURL } from 'node:url'

console.log = console.error
const suite = pathToFileURL(process.env.CACHE_TESTS + '/')
const handler = async name =>
  (await import(new URL(`test-engine/server/handle-${name}.mjs`, suite))).default
const handlers = {
  config: await handler('config'),
  state: await handler('state'),
  test: await handler('test')
}

const server = http.createServer((request, response) => {
  const [kind, ...rest] = new URL(request.url, 'http://origin').pathname.slice(1).split('/')
  const handle = handlers[kind]
  if (handle) return handle(rest, request, response)
  response.writeHead(404).end()
})
server.listen(0, '127.0.0.1', () => {
  const { address, port } = server.address()
  process.stdout.write(JSON.stringify({ origin: `http://${address}:${port}` }) + '\n')
})
