/** The helloworld application: answers `GET /hello` with its version and the pod's name. */
import { createServer } from 'node:http';
import { hostname } from 'node:os';

const version = process.env['SERVICE_VERSION'] ?? 'v1';
const port = Number(process.env['PORT'] ?? 5000);

const server = createServer((request, response) => {
  const path = (request.url ?? '/').split('?')[0];
  if (path === '/hello') {
    response.end(`Hello version: ${version}, instance: ${hostname()}\n`);
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
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  });
}
