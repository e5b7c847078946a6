// A server for the kubelet's tests: says who it is, and ends a while after it was asked to.
import { createServer } from 'node:http';
import { hostname } from 'node:os';

let healthy = true;
console.log(`serving ${process.env.GREETING ?? ''}`);
const server = createServer((request, response) => {
  if (request.url === '/break') healthy = false;
  response.writeHead(healthy ? 200 : 500).end(`${hostname()} ${process.env.GREETING ?? ''}`);
});
server.listen(Number(process.env.PORT ?? 80));
process.on('SIGTERM', () => {
  console.log('asked to end');
  process.exit(0);
});
