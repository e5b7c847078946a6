/** The helloworld application: answers `GET /hello` with its version and the pod's name. */
import { createServer } from 'node:http';
import { hostname } from 'node:os';

const version = process.env['SERVICE_VERSION'] ?? 'v1';
const port = Number(process.env['PORT'] ?? 5000);
/** Not every sandbox gives the pod a host name of its own, but each tells it. */
const instance = process.env['HOSTNAME'] ?? hostname();

/** Nobody holds a connection with half a request. */
const TIME_LIMITS = { headersTimeout: 10_000, connectionsCheckingInterval: 5_000 };

const server = createServer(TIME_LIMITS, (request, response) => {
  const path = (request.url ?? '/').split('?')[0];
  if (path === '/hello') {
    response.end(`Hello version: ${version}, instance: ${instance}\n`);
  } else if (path === '/headers') {
    response.setHeader('content-type', 'application/json');
    response.end(`${JSON.stringify(request.headers)}\n`);
  } else if (path === '/health') {
    response.end('Helloworld is healthy\n');
  } else {
    response.statusCode = 404;
    response.end('Not found; try /hello\n');
  }
});
server.keepAliveTimeout = 75_000;
server.listen(port, process.env['HOST'] ?? '0.0.0.0', () =>
  console.log(`helloworld ${version} listens on port ${port}`),
);
/** Others learn that the pod ends while it is ending: until then their requests come, and are answered. */
const DRAIN_MS = 2000;
process.on('SIGINT', () => process.exit(0));
process.on('SIGTERM', () => {
  setTimeout(() => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  }, DRAIN_MS);
});
