// An origin that tells what it takes for requests: a line of JSON for each, in the file it is given.
// Usage: node origin.mjs FILE
import http from 'node:http';
import fs from 'node:fs';

const log = fs.openSync(process.argv[2], 'a');
const tell = (seen) => fs.writeSync(log, JSON.stringify(seen) + '\n');

const server = http.createServer({ keepAliveTimeout: 60_000, maxHeaderSize: 65_536 }, (request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  const seen = () => ({
    method: request.method,
    target: request.url,
    via: request.headers.via ?? '',
    body: Buffer.concat(pieces).toString('latin1'),
  });
  request.on('error', () => {});
  request.on('aborted', () => tell({ ...seen(), aborted: true }));
  request.on('end', () => {
    tell(seen());
    const body = `${request.method} ${request.url}`;
    response.writeHead(200, { 'Cache-Control': 'no-store', 'Content-Length': Buffer.byteLength(body) });
    response.end(body);
  });
});
server.on('clientError', (error, socket) => {
  // a connection that ends within a request has no packet
  if (error.rawPacket) {
    tell({ wrong: error.rawPacket.toString('latin1').slice(0, 300) });
  }
  socket.destroy();
});
server.on('upgrade', (request, socket) => {
  // nobody else listens to it now
  socket.on('error', () => {});
  tell({ method: request.method, target: request.url, via: request.headers.via ?? '', body: '' });
  socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
});
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ origin: `127.0.0.1:${server.address().port}` }));
});
