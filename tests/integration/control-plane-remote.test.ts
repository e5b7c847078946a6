import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  type KubeClient,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  NAMESPACES,
  PODS,
  SECRETS,
  SERVICES,
} from '@meltemi/kube';
import { eventually } from '@meltemi/testing';
import {
  type ControlPlaneHarness,
  DEADLINE_MS,
  fetchPage,
  startHarness,
  startRemote,
} from './control-plane-harness.ts';

const KEY = 'app1/helloworld.app1.svc.cluster.local';

/** Puts helloworld with one pod into a cluster, as its controllers and kubelet would. */
async function serveHelloworld(client: KubeClient, address: string): Promise<void> {
  await client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'helloworld', namespace: 'app1' },
    spec: { ports: [{ name: 'http', port: 5000 }], selector: { app: 'helloworld' } },
  });
  const pod = await client.create(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'helloworld', namespace: 'app1', labels: { app: 'helloworld' } },
    spec: { containers: [{ name: 'app', image: 'x' }] },
  });
  const status = { phase: 'Running', podIP: address, podIPs: [{ ip: address }] };
  await client.update(PODS, { ...pod, status }, { subresource: 'status' });
  await client.create(ENDPOINT_SLICES, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'helloworld-1', namespace: 'app1', labels: { 'kubernetes.io/service-name': 'helloworld' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 5000, protocol: 'TCP' }],
    endpoints: [
      {
        addresses: [address],
        conditions: { ready: true },
        targetRef: { kind: 'Pod', name: 'helloworld', namespace: 'app1' },
      },
    ],
  });
}

interface ServiceEndpoints {
  readonly service: string;
  readonly clusters: Readonly<Record<string, readonly { readonly address: string }[]>>;
}

interface ClusterStatus {
  readonly id: string;
  readonly secretName: string;
  readonly syncStatus: string;
}

/** Addresses of helloworld by cluster, as the control plane has them in its snapshot. */
async function endpointsOf(mesh: ControlPlaneHarness): Promise<Record<string, readonly string[]>> {
  const services = await mesh.debug<readonly ServiceEndpoints[]>('/debug/endpointz');
  const found = services.find(({ service }) => service === KEY);
  return Object.fromEntries(
    Object.entries(found?.clusters ?? {}).map(([cluster, list]) => [cluster, list.map(({ address }) => address)]),
  );
}

test('MC-01 MC-15 MC-16 a remote cluster is attached, looked after, and detached while running', async () => {
  await using mesh = await startHarness();
  await using remote = await startRemote('cluster2');
  await remote.cluster.createNamespace('app1');
  // Webhooks must not be called for pods of this test: nothing serves them at their Service's address.
  await serveHelloworld(mesh.client, '10.11.1.1');
  await serveHelloworld(remote.client, '10.12.1.1');

  const addresses = (): ReturnType<typeof endpointsOf> => endpointsOf(mesh);
  await eventually(async () => assert.deepEqual(await addresses(), { cluster1: ['10.11.1.1'] }), DEADLINE_MS);

  await mesh.client.create(SECRETS, remote.secret);
  await eventually(
    async () => assert.deepEqual(await addresses(), { cluster1: ['10.11.1.1'], cluster2: ['10.12.1.1'] }),
    DEADLINE_MS,
  );
  const clusters = await mesh.debug<readonly ClusterStatus[]>('/debug/clusterz');
  assert.deepEqual(
    clusters.map(({ id, secretName, syncStatus }) => [id, secretName, syncStatus]),
    [
      ['cluster1', '', 'synced'],
      ['cluster2', 'istio-system/istio-remote-secret-cluster2', 'synced'],
    ],
  );
  const metrics = await fetchPage(mesh.controlPlane.ports.monitoring, '/metrics');
  assert.match(metrics.body, /sync_status\{cluster="cluster2",cluster_type="remote",status="synced"\} 1/);

  // What its workloads need before they can join, written with the rights of the reader account.
  const roots = await eventually(async () => {
    const map = await remote.client.find(CONFIG_MAPS, { namespace: 'app1', name: 'istio-ca-root-cert' });
    return map?.data?.['root-cert.pem'] ?? false;
  }, DEADLINE_MS);
  await eventually(async () => {
    const { webhooks } = await remote.client.get(MUTATING_WEBHOOK_CONFIGURATIONS, { name: 'istio-sidecar-injector' });
    const caBundle = Buffer.from(roots).toString('base64');
    assert.ok(webhooks?.every(({ clientConfig }) => clientConfig.caBundle === caBundle));
    const slice = await remote.client.get(ENDPOINT_SLICES, { namespace: 'istio-system', name: 'istiod-remote' });
    assert.deepEqual(slice.endpoints?.[0]?.addresses, ['10.11.9.9']);
  }, DEADLINE_MS);

  await mesh.client.delete(SECRETS, { namespace: 'istio-system', name: 'istio-remote-secret-cluster2' });
  await eventually(async () => assert.deepEqual(await addresses(), { cluster1: ['10.11.1.1'] }), 5000);
  const services =
    await mesh.debug<readonly { readonly name: string; readonly clusterVIPs: object }[]>('/debug/registryz');
  const { clusterVIPs } = services.find(({ name }) => name === 'helloworld') ?? { clusterVIPs: {} };
  assert.deepEqual(Object.keys(clusterVIPs), ['cluster1']);
});

test('a remote cluster that does not name the control plane is read but not written to', async () => {
  await using mesh = await startHarness();
  await using remote = await startRemote('cluster2');
  await remote.client.patch(
    NAMESPACES,
    { name: 'istio-system' },
    { type: 'merge', body: { metadata: { annotations: { 'topology.istio.io/controlPlaneClusters': 'other' } } } },
  );
  await mesh.client.create(SECRETS, remote.secret);
  await eventually(async () => {
    const clusters = await mesh.debug<readonly ClusterStatus[]>('/debug/clusterz');
    assert.equal(clusters.find(({ id }) => id === 'cluster2')?.syncStatus, 'synced');
  }, DEADLINE_MS);
  const rootMap = { namespace: 'istio-system', name: 'istio-ca-root-cert' };
  assert.equal(await remote.client.find(CONFIG_MAPS, rootMap), undefined);
  // Named later, it is looked after.
  await remote.client.patch(
    NAMESPACES,
    { name: 'istio-system' },
    { type: 'merge', body: { metadata: { annotations: { 'topology.istio.io/controlPlaneClusters': 'a, cluster1' } } } },
  );
  await eventually(async () => assert.ok(await remote.client.find(CONFIG_MAPS, rootMap)), DEADLINE_MS);
});

test('MC-10 kubeconfigs in a folder attach clusters, and win over remote secrets', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-kubeconfigs-'));
  try {
    await using mesh = await startHarness([`--multicluster-kubeconfig-path=${directory}`]);
    await using remote = await startRemote('cluster2');
    await remote.cluster.createNamespace('app1');
    await serveHelloworld(remote.client, '10.12.1.1');
    const clusters = async (): Promise<unknown> =>
      (await mesh.debug<readonly ClusterStatus[]>('/debug/clusterz')).map(({ id, secretName, syncStatus }) => [
        id,
        secretName,
        syncStatus,
      ]);
    const own = ['cluster1', '', 'synced'];
    await mesh.client.create(SECRETS, {
      ...remote.secret,
      data: { ignored: Object.values(remote.secret.data ?? {})[0] ?? '' },
    });
    const file = join(directory, 'any-name.yaml');
    const kubeconfig = Buffer.from(remote.secret.data?.['cluster2'] ?? '', 'base64').toString('utf8');
    // The cluster is known by the name that the current context gives it.
    writeFileSync(file, kubeconfig.replaceAll(/\bistio-reader-service-account$/gm, 'cluster2'));
    await eventually(async () => assert.deepEqual(await clusters(), [own, ['cluster2', file, 'synced']]), DEADLINE_MS);
    await eventually(async () => assert.deepEqual(await endpointsOf(mesh), { cluster2: ['10.12.1.1'] }), DEADLINE_MS);
    rmSync(file);
    await eventually(async () => assert.deepEqual(await clusters(), [own]), DEADLINE_MS);
    await eventually(async () => assert.deepEqual(await endpointsOf(mesh), {}), DEADLINE_MS);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
