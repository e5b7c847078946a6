/** What holds of an environment in the loopback sandbox alone. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { test } from 'node:test';
import { connect } from 'node:tls';
import type { Walkthrough } from './environment-harness.ts';
import { listeningSockets } from './listening-sockets.ts';

const STRICT = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: app1}
spec: {mtls: {mode: STRICT}}
`;

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly status: { readonly podIP: string };
  }[];
}

/** Processes that carry the variable of this environment; nothing else holds them together here. */
export function environmentPids(directory: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/environ`, 'utf8').split('\0').includes(`MELTEMI_ENVIRONMENT=${directory}`);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** How a plaintext request to an address ends: with a status, or with an error's code. */
function plainRequest(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const request = get({ host, port, path: '/hello', agent: false, timeout: 5000 }, (response) => {
      response.resume();
      resolve(String(response.statusCode));
    });
    request.on('timeout', () => request.destroy(new Error('timed out')));
    request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** Begins TLS as a mesh client would, but without a certificate of its own; says whose server it is, and what it answers. */
function tlsWithoutIdentity(host: string, port: number): Promise<{ readonly names: string; readonly answer: string }> {
  return new Promise((resolve) => {
    let names = '';
    let answer = '';
    const socket = connect(
      { host, port, rejectUnauthorized: false, ALPNProtocols: ['istio-http/1.1', 'istio'] },
      () => {
        names = socket.getPeerCertificate().subjectaltname ?? '';
        socket.write('GET /hello HTTP/1.1\r\nhost: helloworld\r\n\r\n');
      },
    );
    socket.setTimeout(5000, () => socket.destroy());
    socket.on('data', (chunk) => (answer += String(chunk)));
    socket.on('error', () => {});
    socket.on('close', () => resolve({ names, answer }));
  });
}

/** Adds the tests to the enclosing suite. */
export function addLoopbackTests(mesh: () => Walkthrough): void {
  const succeed = async (args: readonly string[], input?: string): Promise<string> => {
    const result = await mesh().meltemi(args, input);
    assert.equal(result.code, 0, `meltemi ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };
  const inSleep = (script: string): Promise<string> =>
    succeed(['exec', '-n', 'app1', 'deploy/sleep', '--', 'sh', '-c', script]);
  const helloworldAddress = async (): Promise<string> => {
    const { items } = JSON.parse(
      await succeed(['get', 'pods', '-n', 'app1', '--cluster', 'cluster2', '-o', 'json']),
    ) as PodList;
    return items.find(({ metadata }) => metadata.name.startsWith('helloworld-'))?.status.podIP ?? '';
  };

  test('it says at the start which sandbox it is and what that lacks', () => {
    assert.match(mesh().output(), /sandbox: loopback[^]*HTTP only[^]*no security boundary/);
  });

  test('no socket listens on all addresses, and two pods share a port on addresses of their own', () => {
    const sockets = listeningSockets(environmentPids(mesh().directory));
    for (const socket of sockets) assert.match(socket, /^127\.\d+\.\d+\.\d+:\d+$/);
    assert.deepEqual(
      sockets.filter((socket) => /:(15001|15006)$/.test(socket)),
      [],
    );
    for (const port of [15_000, 15_020, 15_021, 15_090]) {
      const own = sockets.filter((socket) => socket.endsWith(`:${port}`));
      // A pod of an earlier test may still be ending.
      assert.ok(own.length >= 3, `${port}: ${own.join(' ')}`);
      assert.equal(new Set(own).size, own.length);
    }
  });

  test('the leg between the sidecars is mutual TLS: both ends have identities, and without one there is no answer', async () => {
    const headers = JSON.parse(await inSleep('curl -s -m 5 helloworld.app1:5000/headers')) as Record<string, string>;
    assert.match(headers['x-forwarded-client-cert'] ?? '', /URI=spiffe:\/\/cluster\.local\/ns\/app1\/sa\/sleep/);
    const { names, answer } = await tlsWithoutIdentity(await helloworldAddress(), 5000);
    assert.match(names, /URI:spiffe:\/\/cluster\.local\/ns\/app1\/sa\/default/);
    assert.equal(answer, '');
  });

  test('under STRICT a plaintext request to the pod address is reset, and the mesh goes on', async () => {
    const address = await helloworldAddress();
    assert.equal(await plainRequest(address, 5000), '200');
    await succeed(['apply', '-f', '-'], STRICT);
    assert.equal(await plainRequest(address, 5000), 'ECONNRESET');
    assert.match(await inSleep('curl -s -m 5 helloworld.app1:5000/hello'), /^Hello version/);
    await succeed(['delete', '-f', '-'], STRICT);
    assert.equal(await plainRequest(address, 5000), '200');
  });

  test('hosts that the mesh does not know are refused by the explicit proxy', async () => {
    const script =
      'for url in unknown.example helloworld.app1:5001; do curl -s -m 5 -o /dev/null -w "%{http_code}\\n" $url; done';
    assert.deepEqual((await inSleep(script)).trim().split('\n'), ['502', '502']);
  });
}
