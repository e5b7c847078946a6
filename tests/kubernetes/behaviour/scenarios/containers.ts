/** Logs and exec, by way of a kubelet that is a double here. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TestCluster } from '@meltemi/local/api-server/testing';
import { findPeer } from '@meltemi/testing';
import { runCommand } from '../../../walkthrough/environment-harness.ts';
import { outcome, type Scenario } from '../scenario.ts';

interface Kubelet extends AsyncDisposable {
  /** Paths with their queries, oldest first. */
  readonly asked: string[];
}

/** @see RFC 6455, section 4.2.2 */
function acceptWebSocket(key: string): string {
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
}

/** A channel's data as one unmasked frame of less than 64 KiB. */
function binaryFrame(channel: number, text: string): Buffer {
  const data = Buffer.concat([Buffer.from([channel]), Buffer.from(text)]);
  const length =
    data.length < 126 ? Buffer.from([data.length]) : Buffer.from([126, data.length >> 8, data.length & 0xff]);
  return Buffer.concat([Buffer.from([0x82]), length, data]);
}

/** A node whose kubelet logs two lines, and echoes the command of an exec on both channels, exit code 3. */
async function serveKubelet(api: TestCluster): Promise<Kubelet> {
  const { certificatePath, keyPath } = api.pki.issueServer('behaviour-kubelet', ['IP:127.0.0.1']);
  const tls = { ca: api.ca, cert: readFileSync(certificatePath), key: readFileSync(keyPath), requestCert: true };
  const asked: string[] = [];
  const sockets = new Set<Duplex>();
  const server = createServer({ ...tls, rejectUnauthorized: true }, (request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(200, { 'Content-Type': 'text/plain' }).end('line 1\nline 2\n');
  });
  server.on('upgrade', (request, socket) => {
    asked.push(request.url ?? '');
    const command = new URL(request.url ?? '/', 'https://kubelet').searchParams.getAll('command').join(' ');
    const status = {
      metadata: {},
      status: 'Failure',
      reason: 'NonZeroExitCode',
      message: 'exit status 3',
      details: { causes: [{ reason: 'ExitCode', message: '3' }] },
    };
    socket.write(acceptWebSocket(request.headers['sec-websocket-key'] ?? ''));
    socket.write(binaryFrame(1, `out ${command}\n`));
    socket.write(binaryFrame(2, `err ${command}\n`));
    socket.write(binaryFrame(3, JSON.stringify(status)));
    // A close frame with code 1000.
    socket.end(Buffer.from([0x88, 2, 0x03, 0xe8]));
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await api.request('POST', '/api/v1/nodes', { body: { metadata: { name: 'double' } } });
  const status = {
    addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    declaredFeatures: ['ExtendWebSocketsToKubelet'],
  };
  await api.request('PATCH', '/api/v1/nodes/double/status', { body: { status } });
  return {
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await api.request('DELETE', '/api/v1/nodes/double');
    },
  };
}

/** See the names. */
export const CONTAINER_SCENARIOS: readonly Scenario[] = [
  {
    name: 'containers',
    async run({ api, namespace, record }) {
      await using kubelet = await serveKubelet(api);
      const pods = `/api/v1/namespaces/${namespace}/pods`;
      const containers = ['app', 'proxy'].map((name) => ({ name, image: 'i:1' }));
      await api.request('POST', pods, {
        body: { metadata: { name: 'two' }, spec: { containers, nodeName: 'double' } },
      });
      await api.request('POST', pods, {
        body: { metadata: { name: 'one' }, spec: { containers: containers.slice(0, 1), nodeName: 'double' } },
      });
      const log = (pod: string, query: string) => api.request('GET', `${pods}/${pod}/log${query}`);
      const clean = (texts: readonly string[]): readonly string[] =>
        texts.map((text) => {
          const url = new URL(text.replaceAll(namespace, 'NS'), 'https://kubelet');
          return `${url.pathname} ${[...url.searchParams]
            .map(([key, value]) => `${key}=${value}`)
            .toSorted()
            .join(' ')}`;
        });
      record('log', [(await log('one', '')).text, clean(kubelet.asked.splice(0))]);
      record('log with options', [
        (await log('two', '?container=proxy&tailLines=2&timestamps=true&previous=true&sinceSeconds=5')).text,
        clean(kubelet.asked.splice(0)),
      ]);
      record('log of an unclear container', outcome(await log('two', '')));
      record('log of a container that is not there', outcome(await log('two', '?container=x')));
      record('log of a pod that is not there', outcome(await log('absent', '')));
      record('log of half a line number', outcome(await log('one', '?tailLines=x')));
      record('log of fewer than no lines', outcome(await log('one', '?tailLines=-1')));
      const kubectl = findPeer('kubectl') ?? 'kubectl';
      const run = async (...args: readonly string[]): Promise<unknown> => {
        const env = { ...process.env, KUBECONFIG: api.adminKubeconfigPath, HOME: api.directory };
        const { code, stdout, stderr } = await runCommand(kubectl, ['-n', namespace, ...args], { env });
        const lines = stderr
          .trim()
          .split('\n')
          .filter((line) => !line.startsWith('Defaulted container'));
        return { code, stdout, stderr: lines.map((line) => line.replaceAll(namespace, 'NS')) };
      };
      record('kubectl logs', await run('logs', 'one'));
      kubelet.asked.splice(0);
      record('kubectl exec', await run('exec', 'one', '--', 'echo', 'a b'));
      record('kubectl exec asks for', clean(kubelet.asked.splice(0)));
      record('kubectl exec -i', await run('exec', '-i', 'two', '-c', 'proxy', '--', 'cat'));
      record('kubectl exec -i asks for', clean(kubelet.asked.splice(0)));
      record('kubectl exec in a pod that is not there', await run('exec', 'absent', '--', 'true'));
      record('kubectl exec in a container that is not there', await run('exec', 'two', '-c', 'x', '--', 'true'));
      await api.request('PATCH', `${pods}/one/status`, { body: { status: { phase: 'Succeeded' } } });
      record('kubectl exec in a pod that has ended', await run('exec', 'one', '--', 'true'));
    },
  },
];
