/**
 * Runs with or without the right to make transparent sockets (see `network/client-source.test.ts`): an origin that tells from
 * where it was called over which of its connections, and a listener with `original_src` before it, called by two clients.
 */
import { createServer, request } from 'node:http';
import { createLog, createLogLevels } from '@meltemi/base';
import { createDataPlaneFixture, simpleConfig } from './data-plane-fixture.ts';
import { listenerFixture } from './runtime-resources.ts';

let connections = 0;
const numbers = new WeakMap<object, number>();
const origin = createServer(({ socket }, response) => response.end(`${socket.remoteAddress} ${numbers.get(socket)}`));
origin.on('connection', (socket) => void numbers.set(socket, ++connections));
await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
const address = origin.address();
if (address === null || typeof address === 'string') throw new Error('the origin has no port');

const logged: string[] = [];
const log = createLog({
  scope: 'worker',
  levels: createLogLevels(),
  write: (line) => void logged.push(line),
  nowMs: Date.now,
});
const proxy = createDataPlaneFixture({}, log);
await proxy.apply(
  simpleConfig({
    hosts: [address.port],
    cluster: { bindSourceAddresses: ['127.0.0.6'] },
    listener: { listenerFilters: { ...listenerFixture().listenerFilters, originalSrc: { mark: 1337 } } },
  }),
);

async function ask(localAddress: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: proxy.port(), localAddress, agent: false };
    const outgoing = request(options, async (response) => resolve((await response.toArray()).join('')));
    outgoing.on('error', reject);
    outgoing.end();
  });
}

const seen = [await ask('127.0.0.2'), await ask('127.0.0.3'), await ask('127.0.0.2')];
process.stdout.write(JSON.stringify({ seen, logged }));
process.exit(0);
