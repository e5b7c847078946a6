import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { controlPlaneManifests } from '@meltemi/control-plane';
import {
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  type KubeClient,
  type KubeObject,
  LEASES,
  SERVICE_ACCOUNTS,
  SERVICES,
} from '@meltemi/kube';
import { eventually, freePort } from '@meltemi/testing';
import { createTestCluster } from '../../packages/local/src/api-server/testing/test-cluster.ts';
import { accountKubeconfig, adminClient, applyAll, DEADLINE_MS } from './control-plane-harness.ts';
import { startReplica, startServiceAddress, startSidecar, type TestSidecar } from './two-replicas.ts';
import { VIRTUAL_SERVICES } from './virtual-services.ts';

const SYSTEM = 'istio-system';
/** Long enough that a leader does not lose it by waiting for a processor. */
const LEASE_MS = 6_000;
/** For another replica to take over: the whole lease, and a busy machine. */
const TAKEOVER_DEADLINE_MS = 60_000;
/** What the Deployment of the control plane has. */
const TERMINATION_GRACE_MS = 10_000;
const URL_OF_SERVICE = 'http://helloworld.app1:5000/';

/** Puts helloworld into the cluster, served by this process, outside of the mesh. */
async function serveHelloworld(client: KubeClient): Promise<AsyncDisposable> {
  const server = createServer((_request, response) => void response.end('hello')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  await client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'helloworld', namespace: 'app1' },
    spec: { ports: [{ name: 'http', port: 5000 }], selector: { app: 'helloworld' } },
  });
  await client.create(ENDPOINT_SLICES, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'helloworld-1', namespace: 'app1', labels: { 'kubernetes.io/service-name': 'helloworld' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: (server.address() as AddressInfo).port, protocol: 'TCP' }],
    endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true } }],
  });
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Requests through one sidecar, one after another, until stopped. */
function keepAsking(sidecar: TestSidecar, proxyPort: number): { stop(): Promise<readonly (number | string)[]> } {
  const answers: (number | string)[] = [];
  let isStopped = false;
  const asking = (async () => {
    while (!isStopped) answers.push(await sidecar.ask(proxyPort, URL_OF_SERVICE));
  })();
  return {
    async stop() {
      isStopped = true;
      await asking;
      return answers;
    },
  };
}

const KEY = { namespace: 'app1', name: 'v' };

function virtualService(timeout: string, present?: KubeObject) {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { ...KEY, ...present?.metadata },
    spec: { hosts: ['helloworld'], http: [{ timeout, route: [{ destination: { host: 'helloworld' } }] }] },
  };
}

interface Connection {
  readonly proxy: string;
  readonly connection: string;
}

test('Of two replicas both serve proxies and one does the duties; when one is killed or stopped another takes over, and no request fails', async () => {
  await using cluster = await createTestCluster({ name: 'cluster1' });
  const client = await adminClient(cluster);
  await using _client = client;
  const proxyPort = await freePort();
  const manifests = controlPlaneManifests({
    clusterName: 'cluster1',
    values: { meshConfig: { proxyHttpPort: proxyPort } },
  });
  await applyAll(
    client,
    manifests.filter(({ kind }) => kind !== 'ValidatingWebhookConfiguration'),
  );
  await cluster.createNamespace('app1');
  const kubeconfigPath = join(cluster.directory, 'istiod.kubeconfig');
  writeFileSync(kubeconfigPath, await accountKubeconfig(cluster, client, 'istiod'));
  await client.create(SERVICE_ACCOUNTS, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'sleep', namespace: 'app1' },
  });
  await using _helloworld = await serveHelloworld(client);

  const options = { kubeconfigPath, leaseDuration: `${LEASE_MS}ms`, flags: ['--enable-status'] };
  await using first = await startReplica({ ...options, name: 'istiod-a' });
  await using second = await startReplica({ ...options, name: 'istiod-b' });
  const leaderName = async (): Promise<string> => {
    const lease = await client.find(LEASES, { namespace: SYSTEM, name: 'istio-namespace-controller-election' });
    return lease?.spec?.holderIdentity ?? '';
  };
  await eventually(async () => assert.equal(await leaderName(), 'istiod-a'), DEADLINE_MS);
  const rootOf = (namespace: string): Promise<string> =>
    eventually(async () => {
      const map = await client.find(CONFIG_MAPS, { namespace, name: 'istio-ca-root-cert' });
      return map?.data?.['root-cert.pem'] ?? false;
    }, DEADLINE_MS);
  const rootPem = await rootOf('app1');

  // Each sidecar is led to another replica, and to the remaining one when its own is gone.
  const targetsOfA = [first.grpcPort, second.grpcPort];
  const targetsOfB = targetsOfA.toReversed();
  await using addressA = await startServiceAddress(targetsOfA);
  await using addressB = await startServiceAddress(targetsOfB);
  const { token } = await client.createToken({ namespace: 'app1', name: 'sleep' }, { audiences: ['istio-ca'] });
  const common = { rootPem, token };
  await using sleepA = await startSidecar({
    ...common,
    name: 'sleep-a',
    address: '127.0.0.41',
    discoveryPort: addressA.port,
  });
  await using sleepB = await startSidecar({
    ...common,
    name: 'sleep-b',
    address: '127.0.0.42',
    discoveryPort: addressB.port,
  });
  for (const sidecar of [sleepA, sleepB]) {
    await eventually(async () => assert.equal(await sidecar.ask(proxyPort, URL_OF_SERVICE), 200), DEADLINE_MS);
  }
  const proxiesOf = async (replica: typeof first): Promise<readonly Connection[]> =>
    (await replica.debug<readonly Connection[]>('/debug/syncz')).map(({ proxy, connection }) => ({
      proxy,
      connection,
    }));
  assert.deepEqual(
    (await proxiesOf(first)).map(({ proxy }) => proxy),
    ['sleep-a.app1'],
  );
  const before = await proxiesOf(second);
  assert.deepEqual(
    before.map(({ proxy }) => proxy),
    ['sleep-b.app1'],
  );

  const reconciled = async () => {
    const { status } = await client.get(VIRTUAL_SERVICES, KEY);
    return [status?.observedGeneration, status?.conditions?.[0]?.status];
  };
  await eventually(async () => {
    const map = await client.find(CONFIG_MAPS, { namespace: SYSTEM, name: 'istiod-b-distribution' });
    assert.match(map?.data?.['distribution-report'] ?? '', /"proxyCount":1/);
  }, DEADLINE_MS);
  // The one that writes statuses counts the proxies of the other too.
  await client.create(VIRTUAL_SERVICES, virtualService('3s'));
  await eventually(async () => {
    const { status } = await client.get(VIRTUAL_SERVICES, KEY);
    assert.equal(status?.conditions?.[0]?.message, '2/2 proxies up to date.');
  }, DEADLINE_MS);

  const loads = [keepAsking(sleepA, proxyPort), keepAsking(sleepB, proxyPort)];
  assert.equal(await leaderName(), 'istiod-a', 'the first one leads until it is killed');
  first.process.kill('SIGKILL');
  await eventually(async () => assert.equal(await leaderName(), 'istiod-b'), TAKEOVER_DEADLINE_MS);
  // The duties go with the lease.
  await cluster.createNamespace('app2');
  assert.equal(await rootOf('app2'), rootPem);

  const after = await eventually(async () => {
    const present = await proxiesOf(second);
    assert.deepEqual(
      present.map(({ proxy }) => proxy),
      ['sleep-a.app1', 'sleep-b.app1'],
    );
    return present;
  }, DEADLINE_MS);
  assert.deepEqual(after[1], before[0], 'the stream of the survivor is the one from before');
  // A change reaches both by the survivor, which has taken over telling of it too.
  const created = await client.update(VIRTUAL_SERVICES, virtualService('4s', await client.get(VIRTUAL_SERVICES, KEY)));
  const query = `resource=VirtualService/app1/v&resourceVersion=${created.metadata.resourceVersion}`;
  const distribution = await second.debug<{ ok: boolean; proxyCount: number }>(
    `/debug/distribution?timeout=30s&${query}`,
  );
  assert.deepEqual([distribution.ok, distribution.proxyCount], [true, 2]);
  await eventually(
    async () => assert.deepEqual(await reconciled(), [created.metadata.generation, 'True']),
    DEADLINE_MS,
  );

  // Asked to stop, a replica gives its lease back and sends its proxies to another one before it ends.
  await using third = await startReplica({ ...options, name: 'istiod-c' });
  for (const list of [targetsOfA, targetsOfB]) list.push(third.grpcPort);
  const stoppedMs = performance.now();
  second.process.kill('SIGTERM');
  const [code] = await once(second.process, 'exit');
  assert.equal(code, 0, second.log().slice(-2_000));
  assert.ok(performance.now() - stoppedMs < TERMINATION_GRACE_MS);
  await eventually(async () => assert.equal(await leaderName(), 'istiod-c'), TAKEOVER_DEADLINE_MS);
  await eventually(async () => {
    const proxies = await proxiesOf(third);
    assert.deepEqual(
      proxies.map(({ proxy }) => proxy),
      ['sleep-a.app1', 'sleep-b.app1'],
    );
  }, DEADLINE_MS);

  for (const load of loads) {
    const answers = await load.stop();
    assert.ok(answers.length > 20, `only ${answers.length} requests`);
    assert.deepEqual(
      answers.filter((answer) => answer !== 200),
      [],
    );
  }
});
