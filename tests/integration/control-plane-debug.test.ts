import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { SERVICE_ACCOUNTS, SERVICES } from '@meltemi/kube';
import { eventually } from '@meltemi/testing';
import { TYPE_URLS } from '@meltemi/xds';
import {
  connectDelta,
  connectSotw,
  type SotwTestClient,
} from '../../packages/xds/src/server/testing/ads-test-client.ts';
import {
  type ControlPlaneHarness,
  DEADLINE_MS,
  fetchPage,
  type HarnessOptions,
  startHarness,
} from './control-plane-harness.ts';

const DEBUG = 'istio.io/debug';

interface Scene extends AsyncDisposable {
  readonly mesh: ControlPlaneHarness;
  /** Plaintext discovery. */
  readonly port: number;
  /** Of a workload, and of an account in the control plane's namespace. */
  readonly tokens: { readonly app1: string; readonly system: string };
}

/** A control plane with plaintext discovery, and a proxy of each of two namespaces. */
async function startScene(options: HarnessOptions = {}): Promise<Scene> {
  const mesh = await startHarness(['--grpc-addr=127.0.0.1:0'], options);
  await mesh.client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'helloworld', namespace: 'app1' },
    spec: { ports: [{ name: 'http', port: 5000 }], selector: { app: 'helloworld' } },
  });
  const tokenOf = async (namespace: string): Promise<string> => {
    await mesh.client.create(SERVICE_ACCOUNTS, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'asker', namespace },
    });
    return (await mesh.client.createToken({ namespace, name: 'asker' }, { audiences: ['istio-ca'] })).token;
  };
  const tokens = { app1: await tokenOf('app1'), system: await tokenOf('istio-system') };
  const port = mesh.controlPlane.ports.grpc ?? assert.fail('plaintext discovery is off');
  const proxies = await Promise.all([
    connectProxy(port, tokens.app1, 'app1'),
    connectProxy(port, tokens.system, 'istio-system'),
  ]);
  return {
    mesh,
    port,
    tokens,
    async [Symbol.asyncDispose]() {
      for (const proxy of proxies) proxy[Symbol.dispose]();
      await mesh[Symbol.asyncDispose]();
    },
  };
}

async function connectProxy(port: number, token: string, namespace: string): Promise<SotwTestClient> {
  const client = connectSotw(port, bearer(token));
  const node = { id: `sidecar~10.11.1.1~p.${namespace}~${namespace}.svc.cluster.local`, cluster: 'p' };
  client.send({ node, typeUrl: TYPE_URLS.cluster });
  await client.next();
  return client;
}

function bearer(token: string | undefined): Readonly<Record<string, string>> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

/** One question over discovery: the page, or the status with which the stream ends. */
async function ask(
  { port }: Scene,
  token: string | undefined,
  typeUrl: string,
  ...resourceNames: readonly string[]
): Promise<{ readonly body: unknown } | { readonly code: number; readonly details: string }> {
  using client = connectSotw(port, bearer(token));
  // As tools of Istio introduce themselves: no proxy, and of no namespace.
  client.send({ node: { id: 'debug~0.0.0.0~istioctl~cluster.local' }, typeUrl, resourceNames: [...resourceNames] });
  return await Promise.race([
    client.next().then(
      ({ resources }) => ({ body: resources.map(({ value }) => JSON.parse(Buffer.from(value).toString()))[0] }),
      () => client.ended(),
    ),
    client.ended(),
  ]);
}

/** A page over HTTP, as for a caller that is not of the own pod. */
function fetchFrom(port: number, path: string, token?: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    // From where a sidecar passes on what others sent.
    const options = { host: '127.0.0.1', localAddress: '127.0.0.6', port, path, headers: bearer(token), agent: false };
    const call = request(options, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }));
    });
    call.on('error', reject).end();
  });
}

test('SEC-71 whoever proves nothing gets no debug page and no Secret over discovery, and a workload only its own proxies', async () => {
  await using scene = await startScene();
  const { tokens } = scene;
  const codeOf = async (...question: Parameters<typeof ask>): Promise<number> => {
    const answer = await ask(...question);
    return 'code' in answer ? answer.code : status.OK;
  };
  for (const type of [DEBUG, `${DEBUG}/syncz`, `${DEBUG}/config_dump`, TYPE_URLS.secret]) {
    assert.equal(await codeOf(scene, undefined, type, 'p.app1'), status.UNAUTHENTICATED, type);
  }
  assert.equal(await codeOf(scene, tokens.app1, DEBUG, 'syncz'), status.PERMISSION_DENIED);
  assert.equal(await codeOf(scene, tokens.app1, `${DEBUG}/syncz`), status.PERMISSION_DENIED);
  assert.equal(await codeOf(scene, tokens.app1, `${DEBUG}/config_dump`, 'p.app1'), status.OK);
  const foreign = await ask(scene, tokens.app1, DEBUG, 'config_dump?proxyID=p.istio-system');
  assert.ok('code' in foreign && foreign.code === status.NOT_FOUND);
  assert.deepEqual(JSON.parse(foreign.details).connected, ['p.app1'], 'others are not spoken of');
  assert.equal(await codeOf(scene, tokens.system, `${DEBUG}/config_dump`, 'p.app1'), status.OK);

  using workload = connectSotw(scene.port, bearer(tokens.app1));
  const node = { id: 'sidecar~10.11.1.2~q.app1~app1.svc.cluster.local', cluster: 'q' };
  workload.send({ node, typeUrl: TYPE_URLS.secret, resourceNames: ['kubernetes://gateway-certificate'] });
  assert.deepEqual((await workload.next()).resources, []);
});

test('debug pages are the same over HTTP on both ports and over discovery, and who asks is no proxy', async () => {
  await using scene = await startScene();
  const { mesh, tokens } = scene;
  const { http, monitoring } = mesh.controlPlane.ports;
  const list: readonly { readonly name: string }[] = JSON.parse((await fetchPage(http, '/debug')).body);
  assert.ok(list.length >= 18, `${list.length} pages`);
  for (const { name } of list) {
    const path = `${name}?proxyID=p.app1&timeout=1ms`;
    assert.equal((await fetchPage(http, `/debug/${path}`)).status, 200, name);
    // What is described may change between two questions.
    await eventually(async () => {
      const page = JSON.parse((await fetchPage(http, `/debug/${path}`)).body);
      assert.deepEqual(JSON.parse((await fetchPage(monitoring, `/debug/${path}`)).body), page, name);
      assert.deepEqual(await ask(scene, tokens.system, DEBUG, path), { body: page }, name);
    }, DEADLINE_MS);
  }
  const unknown = await fetchPage(monitoring, '/debug/nope');
  assert.equal(unknown.status, 404);
  assert.deepEqual(
    JSON.parse(unknown.body).pages,
    list.map(({ name }) => name),
  );
  const synced = await mesh.debug<readonly { readonly proxy: string }[]>('/debug/syncz');
  assert.deepEqual(
    synced.map(({ proxy }) => proxy),
    ['p.app1', 'p.istio-system'],
  );
  const cluster = 'outbound|5000||helloworld.app1.svc.cluster.local';
  await eventually(async () => {
    const endpoints = await mesh.debug<readonly { readonly clusterName: string }[]>('/debug/edsz?proxyID=p.app1');
    assert.ok(endpoints.some(({ clusterName }) => clusterName === cluster));
  }, DEADLINE_MS);
  assert.deepEqual(await mesh.debug('/debug/registryz?namespace=nowhere'), []);

  using delta = connectDelta(scene.port, bearer(tokens.system));
  delta.send({ typeUrl: DEBUG, resourceNamesSubscribe: ['syncz'] });
  const { resources, nonce } = await delta.next();
  assert.deepEqual(JSON.parse(Buffer.from(resources[0]?.resource?.value ?? []).toString()), synced);
  // An acknowledgement asks for nothing; the next question is answered.
  delta.send({ typeUrl: DEBUG, responseNonce: nonce });
  delta.send({ typeUrl: `${DEBUG}/list` });
  assert.deepEqual(JSON.parse(Buffer.from((await delta.next()).resources[0]?.resource?.value ?? []).toString()), list);
});

test('debug pages over HTTP ask callers of other pods who they are', async () => {
  await using scene = await startScene();
  const { mesh, tokens } = scene;
  const { ports } = mesh.controlPlane;
  for (const port of [ports.http, ports.monitoring]) {
    const codeOf = async (path: string, token?: string): Promise<number> => (await fetchFrom(port, path, token)).status;
    for (const path of ['/debug', '/debug/', '/debug/syncz', '/debug/config_dump?proxyID=p.app1', '/debug/nope']) {
      assert.equal(await codeOf(path), 401, path);
      assert.equal(await codeOf(path, 'nonsense'), 401, path);
    }
    assert.equal(await codeOf('/debug/syncz', tokens.app1), 403);
    assert.equal(await codeOf('/debug/edsz?proxyID=p.app1', tokens.app1), 200);
    assert.equal(await codeOf('/debug/edsz?proxyID=p.istio-system', tokens.app1), 404);
    assert.equal(await codeOf('/debug/syncz', tokens.system), 200);
  }
});

/** A way to an API server that can be held up. */
async function startRelay() {
  const pairs = new Set<readonly [Socket, Socket]>();
  let [isHeld, target] = [false, new URL('https://127.0.0.1')];
  const join = ([client, server]: readonly [Socket, Socket]): void => void client.pipe(server);
  const relay = createServer((client) => {
    const pair = [client, connect(Number(target.port), target.hostname)] as const;
    pairs.add(pair);
    for (const [index, socket] of pair.entries())
      socket.on('error', () => socket.destroy()).on('close', () => pair[1 - index]?.destroy());
    pair[1].pipe(client);
    if (!isHeld) join(pair);
  }).listen(0, '127.0.0.1');
  await once(relay, 'listening');
  return {
    leadTo(server: string): string {
      target = new URL(server);
      return `https://127.0.0.1:${(relay.address() as AddressInfo).port}`;
    },
    hold(): void {
      isHeld = true;
      for (const [client, server] of pairs) client.unpipe(server);
    },
    release(): void {
      isHeld = false;
      for (const pair of pairs) join(pair);
    },
    async [Symbol.asyncDispose]() {
      for (const pair of pairs) for (const socket of pair) socket.destroy();
      await new Promise((resolve) => relay.close(resolve));
    },
  };
}

test('SEC-71 whoever floods debug pages with tokens occupies few reviews of them', async () => {
  await using relay = await startRelay();
  await using scene = await startScene({ reaches: relay.leadTo });
  const { http } = scene.mesh.controlPlane.ports;
  relay.hold();
  const statuses: number[] = [];
  const flood = Array.from({ length: 50 }, async () => {
    statuses.push((await fetchFrom(http, '/debug/syncz', scene.tokens.system)).status);
  });
  await eventually(() => assert.ok(statuses.length >= 40, `${statuses.length} were turned away`), 3_000);
  assert.deepEqual([...new Set(statuses)], [401]);
  relay.release();
  await Promise.all(flood);
  assert.ok(statuses.includes(200), 'those that were let in');
});
