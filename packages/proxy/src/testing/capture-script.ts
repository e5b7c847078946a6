/**
 * Runs inside a network namespace of its own (see `network/capture.test.ts`): an origin, a client whose connections iptables
 * redirects, and the data plane between them, whose own connections carry the mark. Prints what the client got.
 */
import { createServer, get } from 'node:http';
import { createDataPlaneFixture, simpleConfig } from './data-plane-fixture.ts';

const ORIGIN_PORT = 9999;
const CAPTURE_PORT = 15_001;

const origin = createServer((_request, response) => response.end('reached'));
await new Promise<void>((resolve) => origin.listen(ORIGIN_PORT, '127.0.0.1', resolve));
const proxy = createDataPlaneFixture({ upstreamMark: 1337 });
await proxy.apply(
  simpleConfig({
    hosts: [],
    cluster: { discovery: { kind: 'original_dst', useHttpHeader: false, upstreamPortOverride: undefined } },
    http: {
      accessLogs: [
        {
          path: 'log',
          format: { kind: 'text', text: '%DOWNSTREAM_LOCAL_ADDRESS%' },
          omitEmptyValues: false,
          filter: undefined,
        },
      ],
    },
    listener: {
      port: CAPTURE_PORT,
      listenerFilters: {
        originalDst: true,
        originalSrc: undefined,
        tlsInspector: undefined,
        httpInspector: undefined,
        timeoutMs: 0,
        continueOnTimeout: false,
      },
    },
  }),
);
get(`http://127.0.0.1:${ORIGIN_PORT}/`, { agent: false }, (response) => {
  let body = '';
  response.on('data', (chunk) => {
    body += String(chunk);
  });
  response.on('end', () => {
    process.stdout.write(JSON.stringify({ body, server: response.headers['server'], local: proxy.logLines[0] }));
    process.exit(0);
  });
});
