import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { credentials, Metadata } from '@grpc/grpc-js';
import { createLog, parseLogLevels, silentLog, systemClock, systemRandom } from '@meltemi/base';
import { CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, SERVICES } from '@meltemi/kube';
import { eventually } from '@meltemi/testing';
import { PUSH_ORDER, TYPE_URLS } from '@meltemi/xds';
import {
  createDiscoveryClient,
  createGrpcTransport,
  type DiscoveryClient,
  deltaWire,
  sotwWire,
} from '@meltemi/xds/client';
import { NodeSchema } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import {
  type ControlPlaneHarness,
  DEADLINE_MS,
  type HarnessOptions,
  startHarness,
  startRemote,
} from './control-plane-harness.ts';
import { VIRTUAL_SERVICES } from './virtual-services.ts';

const VIRTUAL_SERVICE = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'v', namespace: 'app1' },
  spec: { hosts: ['helloworld'], http: [{ timeout: '3s', route: [{ destination: { host: 'helloworld' } }] }] },
};

interface TestProxy extends Disposable {
  readonly client: DiscoveryClient;
  /** Names by type, as last received; delta adds to what it had. */
  readonly names: Map<string, Set<string>>;
  /** Holds back the acknowledgement of everything until called off. */
  hold(): () => void;
  /** Whether it answers everything with NACK from now on. */
  refuses(everything: boolean): void;
}

async function connectProxy(
  mesh: ControlPlaneHarness,
  options: {
    readonly wire: typeof sotwWire;
    readonly token: string;
    readonly namespace?: string;
    readonly name?: string;
  },
): Promise<TestProxy> {
  const { wire, token, namespace = 'app1', name = 'sleep-1' } = options;
  const map = await eventually(
    () => mesh.client.get(CONFIG_MAPS, { namespace: 'app1', name: 'istio-ca-root-cert' }),
    DEADLINE_MS,
  );
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const tls = credentials.createSsl(Buffer.from(map.data?.['root-cert.pem'] ?? ''), null, null, {
    // Proxies call the name of the Service; this test calls loopback. The chain is verified as always.
    checkServerIdentity: () => undefined,
  });
  const caller = credentials.createFromMetadataGenerator((_options, done) => done(null, metadata));
  const names = new Map<string, Set<string>>();
  let held: Promise<void> = Promise.resolve();
  let isRefusing = false;
  const client = createDiscoveryClient({
    transport: createGrpcTransport({
      target: `127.0.0.1:${mesh.controlPlane.ports.secureGrpc}`,
      credentials: credentials.combineChannelCredentials(tls, caller),
    }),
    wire,
    service: 'ads',
    node: create(NodeSchema, {
      id: `sidecar~10.11.1.1~${name}.app1~${namespace}.svc.cluster.local`,
      metadata: { CLUSTER_ID: 'cluster1', NAMESPACE: namespace },
    }),
    typeOrder: PUSH_ORDER,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    async apply(update) {
      const known = names.get(update.typeUrl) ?? new Set<string>();
      names.set(update.typeUrl, known);
      for (const resource of update.resources) known.add(resource.name ?? `#${known.size}`);
      await held;
      return isRefusing ? [{ name: '', message: 'refused' }] : [];
    },
  });
  client.setInterest(TYPE_URLS.cluster, '*');
  client.setInterest(TYPE_URLS.listener, '*');
  client.setInterest(TYPE_URLS.route, new Set(['5000']));
  client.start();
  return {
    client,
    names,
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      held = promise;
      return () => {
        held = Promise.resolve();
        resolve();
      };
    },
    refuses(everything) {
      isRefusing = everything;
    },
    [Symbol.dispose]: () => client.close(),
  };
}

async function startWithService({
  flags = [],
  ...options
}: HarnessOptions & { readonly flags?: readonly string[] } = {}): Promise<{
  readonly mesh: ControlPlaneHarness;
  readonly token: string;
}> {
  const mesh = await startHarness(flags, options);
  await mesh.client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'helloworld', namespace: 'app1' },
    spec: { ports: [{ name: 'http', port: 5000 }], selector: { app: 'helloworld' } },
  });
  await mesh.client.create(SERVICE_ACCOUNTS, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'sleep', namespace: 'app1' },
  });
  const { token } = await mesh.client.createToken({ namespace: 'app1', name: 'sleep' }, { audiences: ['istio-ca'] });
  return { mesh, token };
}

test('GALLEY-11 the status falls when one of two proxies refuses an object, and says how many have it', async () => {
  const { mesh, token } = await startWithService({ flags: ['--enable-status=true'] });
  await using _mesh = mesh;
  using good = await connectProxy(mesh, { wire: deltaWire, token });
  using other = await connectProxy(mesh, { wire: deltaWire, token, name: 'sleep-2' });
  await eventually(
    () => assert.ok([good, other].every(({ names }) => names.get(TYPE_URLS.route)?.has('5000'))),
    DEADLINE_MS,
  );
  const key = { namespace: 'app1', name: 'v' };
  const told = async (status: string, message: RegExp, generation: number): Promise<void> => {
    await eventually(async () => {
      const condition = (await mesh.client.get(VIRTUAL_SERVICES, key)).status?.conditions?.[0];
      assert.deepEqual(
        [condition?.type, condition?.status, condition?.observedGeneration],
        ['Reconciled', status, generation],
      );
      assert.match(condition?.message ?? '', message);
    }, DEADLINE_MS);
  };
  const update = async (timeout: string): Promise<void> => {
    const spec = { ...VIRTUAL_SERVICE.spec, http: [{ ...VIRTUAL_SERVICE.spec.http[0], timeout }] };
    await mesh.client.patch(VIRTUAL_SERVICES, key, { type: 'merge', body: { spec } });
  };
  await mesh.client.create(VIRTUAL_SERVICES, VIRTUAL_SERVICE);
  await told('True', /^2\/2 proxies up to date/, 1);
  other.refuses(true);
  await update('4s');
  await told('False', /^1\/2 proxies up to date/, 2);
  other.refuses(false);
  await update('5s');
  await told('True', /^2\/2 proxies up to date/, 3);
});

interface Distribution {
  readonly ok: boolean;
  readonly lagging: readonly string[];
  readonly proxyCount: number;
}

for (const wire of [sotwWire, deltaWire]) {
  const name = wire === sotwWire ? 'state of the world' : 'delta';
  test(`a change is distributed when the proxy has acknowledged it, and not before (${name})`, async () => {
    const { mesh, token } = await startWithService();
    await using _mesh = mesh;
    using proxy = await connectProxy(mesh, { wire, token });
    await eventually(async () => {
      const [status] = await mesh.debug<readonly { readonly proxy: string; readonly types: object }[]>('/debug/syncz');
      assert.equal(status?.proxy, 'sleep-1.app1');
      assert.deepEqual(Object.keys(status.types).toSorted(), ['cds', 'lds', 'rds']);
    }, DEADLINE_MS);

    const release = proxy.hold();
    const created = await mesh.client.create(VIRTUAL_SERVICES, VIRTUAL_SERVICE);
    const query = `resource=VirtualService/app1/v&resourceVersion=${created.metadata.resourceVersion}`;
    const early = await mesh.debug<Distribution>(`/debug/distribution?timeout=500ms&${query}`);
    assert.deepEqual([early.ok, early.lagging], [false, ['sleep-1.app1']]);
    release();
    const late = await mesh.debug<Distribution>(`/debug/distribution?timeout=5s&${query}`);
    assert.deepEqual([late.ok, late.lagging, late.proxyCount], [true, [], 1]);

    const dump = await mesh.debug<{
      readonly routes: readonly { readonly name: string; readonly sources: object[] }[];
    }>('/debug/config_dump?proxyID=sleep-1.app1');
    const sources = JSON.stringify(dump.routes.find((route) => route.name === '5000')?.sources);
    assert.match(sources, /VirtualService\/app1\/v/);
  });
}

test('a token for another audience, and a claim to be of another namespace, are refused', async () => {
  const { mesh, token } = await startWithService();
  await using _mesh = mesh;
  const { token: apiToken } = await mesh.client.createToken({ namespace: 'app1', name: 'sleep' });
  using wrongAudience = await connectProxy(mesh, { wire: sotwWire, token: apiToken, name: 'a' });
  using wrongNamespace = await connectProxy(mesh, { wire: sotwWire, token, namespace: 'istio-system', name: 'b' });
  using right = await connectProxy(mesh, { wire: sotwWire, token, name: 'c' });
  await eventually(() => assert.ok(right.names.has(TYPE_URLS.listener)), DEADLINE_MS);
  assert.equal(wrongAudience.names.size + wrongNamespace.names.size, 0);
  const statuses = await mesh.debug<readonly { readonly proxy: string }[]>('/debug/syncz');
  assert.deepEqual(
    statuses.map(({ proxy }) => proxy),
    ['c.app1'],
  );
});

test('with level debug each scope says what happens, and no line has a token or a kubeconfig', async () => {
  const lines: string[] = [];
  const log = createLog({
    scope: 'control-plane',
    levels: parseLogLevels('debug'),
    write: (line) => lines.push(line),
    nowMs: () => 0,
  });
  const { mesh, token } = await startWithService({ log });
  await using _mesh = mesh;
  await using remote = await startRemote('cluster2');
  const says = (pattern: RegExp): Promise<unknown> =>
    eventually(
      () =>
        assert.ok(
          lines.some((line) => pattern.test(line)),
          `${pattern} in\n${lines.join('\n')}`,
        ),
      DEADLINE_MS,
    );
  const proxy = await connectProxy(mesh, { wire: deltaWire, token });
  await says(/debug xds Proxy connected proxy=sleep-1\.app1 connection=\S+ cluster=cluster1 protocol=delta/);
  await says(/debug xds Discovery request proxy=sleep-1\.app1 type=LDS outcome=subscribed/);
  await says(/debug xds Push proxy=sleep-1\.app1 type=CDS version=\S+ nonce=\S+ resourceCount=[1-9]\d* .*bytes=[1-9]/);
  await says(/debug xds Discovery request proxy=sleep-1\.app1 type=CDS outcome=acknowledged/);
  await mesh.client.create(VIRTUAL_SERVICES, VIRTUAL_SERVICE);
  await says(/debug galley Configuration taken object=VirtualService\/app1\/v resourceVersion=\d+/);
  await says(/debug pilot New snapshot version=\S+ global=false .*configs=\["VirtualService\/app1\/v"\]/);
  proxy.refuses(true);
  await mesh.client.delete(VIRTUAL_SERVICES, { namespace: 'app1', name: 'v' });
  await says(/debug galley Configuration removed object=VirtualService\/app1\/v/);
  await says(/debug xds Discovery request proxy=sleep-1\.app1 type=RDS outcome=rejected/);
  await says(/warn {2}xds A proxy rejected its configuration proxy=sleep-1\.app1 type=RDS error=".* refused"/);
  await mesh.client.create(SECRETS, remote.secret);
  await says(
    /debug remote Remote secret event=add secret=istio-system\/istio-remote-secret-cluster2 clusters=\["cluster2"\]/,
  );
  await says(/debug registry Cluster changed cluster=cluster2 change=full/);
  proxy[Symbol.dispose]();
  await says(/debug xds Proxy gone proxy=sleep-1\.app1 connection=\S+ connectedMs=\d+/);
  const kubeconfig = Buffer.from(remote.secret.data?.['cluster2'] ?? '', 'base64').toString();
  const remoteToken = /token: ?"?([^"\s]+)/.exec(kubeconfig)?.[1] ?? assert.fail('the kubeconfig has a token');
  for (const secret of [token, remoteToken, 'PRIVATE KEY', 'certificate-authority-data'])
    assert.ok(!lines.some((line) => line.includes(secret)), secret);
});
