import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createIntermediate, createRootCertificateAuthority } from '@meltemi/citadel/minting';
import { controlPlaneManifests, type ManifestObject, remoteClusterManifests } from '@meltemi/control-plane';
import {
  buildKubeconfig,
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  type EndpointSlice,
  type KubeClient,
  type KubeObject,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  NAMESPACES,
  type NewObject,
  NODES,
  PODS,
  parseKubeconfig,
  type ResourceRef,
  SECRETS,
  SERVICES,
} from '@meltemi/kube';
import { createTestCluster, type TestCluster } from '../../packages/local/src/api-server/testing/test-cluster.ts';
import { runMeltemi } from './command-line.ts';
import { adminClient, applyAll } from './control-plane-harness.ts';

interface Finding {
  readonly level: string;
  readonly check: string;
  readonly subject: string;
  readonly message: string;
  readonly remedy?: string;
}

const SYSTEM = 'istio-system';
const DAY_MS = 86_400_000;
const NOW_MS = Date.now();
const root = createRootCertificateAuthority({ organization: 'Test', lifetimeMs: 3650 * DAY_MS, nowMs: NOW_MS });
const other = createRootCertificateAuthority({ organization: 'Other', lifetimeMs: 3650 * DAY_MS, nowMs: NOW_MS });

function base64(files: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(files).map(([key, text]) => [key, Buffer.from(text).toString('base64')]));
}

function intermediate(of: typeof root, lifetimeMs = 365 * DAY_MS): Record<string, string> {
  return base64({ ...createIntermediate(of, { organization: 'Test', commonName: 'CA', lifetimeMs, nowMs: NOW_MS }) });
}

/** Pods are not admitted by webhooks that nobody serves here. */
const isWebhook = ({ kind }: ManifestObject): boolean => kind.endsWith('WebhookConfiguration');

describe('precheck multicluster, two clusters of one mesh', () => {
  const clusters: TestCluster[] = [];
  const clients: KubeClient[] = [];
  let files: string;
  let kubeconfig: string;
  let readerToken = '';

  const check = async (...flags: readonly string[]): Promise<{ code: number; findings: readonly Finding[] }> => {
    const args = ['precheck', 'multicluster', '--no-probes', '-o', 'json', ...flags];
    const { code, stdout, stderr } = await runMeltemi(kubeconfig, ...args);
    assert.notEqual(stdout, '', stderr);
    return { code, findings: JSON.parse(stdout) as readonly Finding[] };
  };
  const client = (index: 1 | 2): KubeClient => clients[index - 1] as KubeClient;
  const url = (index: 1 | 2): string => (clusters[index - 1] as TestCluster).url;
  const authority = (index: 1 | 2): string => (clusters[index - 1] as TestCluster).ca;
  const put = async <Kind extends KubeObject>(
    index: 1 | 2,
    ref: ResourceRef<Kind>,
    object: NewObject<Kind>,
  ): Promise<unknown> => client(index).apply(ref, object, { fieldManager: 'test' });
  const remoteSecret = (
    kubeconfigs: Readonly<Record<string, string>>,
    name = 'istio-remote-secret-cluster2',
  ): object => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: SYSTEM, labels: { 'istio/multiCluster': 'true' } },
    data: base64(kubeconfigs),
  });
  const remoteKubeconfig = (server: string, more: object = {}): string =>
    buildKubeconfig([{ name: 'cluster2', server, certificateAuthorityPem: authority(2), token: readerToken, ...more }]);
  const node = (index: 1 | 2, podCIDR: string | undefined): Promise<unknown> =>
    put(index, NODES, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'n' },
      spec: { podCIDR: podCIDR ?? '', podCIDRs: podCIDR === undefined ? [] : [podCIDR] },
    });

  before(async () => {
    files = mkdtempSync(join(tmpdir(), 'meltemi-precheck-'));
    kubeconfig = join(files, 'kubeconfig');
    clusters.push(
      await createTestCluster({ name: 'cluster1' }),
      await createTestCluster({ name: 'cluster2', serviceCidr: '10.112.0.0/16', podCidr: '10.12.0.0/16' }),
    );
    for (const cluster of clusters) clients.push(await adminClient(cluster));
    const entries = clusters.map(async ({ url: server, ca, adminKubeconfig }, index) => {
      const access = await parseKubeconfig(adminKubeconfig);
      assert.ok(access.ok);
      const { clientCertificate } = access.value.credentials;
      return { name: `cluster${index + 1}`, server, certificateAuthorityPem: ca, clientCertificate };
    });
    writeFileSync(kubeconfig, buildKubeconfig(await Promise.all(entries)));
    await applyAll(
      client(1),
      controlPlaneManifests({ clusterName: 'cluster1' }).filter((object) => !isWebhook(object)),
    );
    await applyAll(client(2), remoteClusterManifests({ clusterName: 'cluster2', controlPlaneCluster: 'cluster1' }));
    readerToken = (await client(2).createToken({ namespace: SYSTEM, name: 'istio-reader-service-account' })).token;
    for (const index of [1, 2] as const) {
      await (clusters[index - 1] as TestCluster).createNamespace('app1', { 'istio-injection': 'enabled' });
      await node(index, `10.1${index}.0.0/16`);
      const pem = { 'root-cert.pem': root.certificatePem };
      const metadata = { name: 'istio-ca-root-cert', namespace: SYSTEM };
      await put(index, CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: pem });
      const cacerts = { name: 'cacerts', namespace: SYSTEM };
      await put(index, SECRETS, { apiVersion: 'v1', kind: 'Secret', metadata: cacerts, data: intermediate(root) });
    }
    await put(1, PODS, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'istiod-1', namespace: SYSTEM, labels: { app: 'istiod' } },
      spec: { serviceAccountName: 'istiod', containers: [{ name: 'discovery', image: 'x' }] },
    });
    const pod = await client(1).get(PODS, { namespace: SYSTEM, name: 'istiod-1' });
    await client(1).update(PODS, { ...pod, status: { podIP: '10.11.9.9' } }, { subresource: 'status' });
    await put(2, ENDPOINT_SLICES, slice('10.11.9.9'));
    await writeBundle(root.certificatePem);
    // Any address but loopback; nothing listens there.
    await put(1, SECRETS, remoteSecret({ cluster2: remoteKubeconfig('https://0.0.0.0:1') }) as never);
  });
  after(async () => {
    for (const each of clients) await each[Symbol.asyncDispose]();
    for (const cluster of clusters) await cluster[Symbol.asyncDispose]();
    rmSync(files, { recursive: true, force: true });
  });

  const slice = (address: string): NewObject<EndpointSlice> => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'istiod-remote', namespace: SYSTEM, labels: { 'kubernetes.io/service-name': 'istiod' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [address] }],
    ports: [{ name: 'https-dns', port: 15012 }],
  });
  const writeBundle = async (pem: string | undefined): Promise<void> => {
    const key = { name: 'istio-sidecar-injector' };
    const { webhooks = [] } = await client(2).get(MUTATING_WEBHOOK_CONFIGURATIONS, key);
    const caBundle = pem === undefined ? '' : Buffer.from(pem).toString('base64');
    await client(2).patch(MUTATING_WEBHOOK_CONFIGURATIONS, key, {
      type: 'merge',
      body: { webhooks: webhooks.map((hook) => ({ ...hook, clientConfig: { ...hook.clientConfig, caBundle } })) },
    });
  };
  const label = (index: 1 | 2, network: string | null): Promise<unknown> =>
    client(index).patch(
      NAMESPACES,
      { name: SYSTEM },
      { type: 'merge', body: { metadata: { labels: { 'topology.istio.io/network': network } } } },
    );
  const annotate = (value: string | null): Promise<unknown> =>
    client(2).patch(
      NAMESPACES,
      { name: SYSTEM },
      { type: 'merge', body: { metadata: { annotations: { 'topology.istio.io/controlPlaneClusters': value } } } },
    );
  const rootMap = (index: 1 | 2, pem: string): Promise<unknown> =>
    client(index).patch(
      CONFIG_MAPS,
      { namespace: SYSTEM, name: 'istio-ca-root-cert' },
      { type: 'merge', body: { data: { 'root-cert.pem': pem } } },
    );
  const cacerts = (index: 1 | 2, data: Readonly<Record<string, string | null>>): Promise<unknown> =>
    client(index).patch(SECRETS, { namespace: SYSTEM, name: 'cacerts' }, { type: 'merge', body: { data } });
  const service = (
    index: 1 | 2,
    name: string,
    spec: object,
    labels: object = {},
    namespace = 'app1',
  ): Promise<unknown> =>
    put(index, SERVICES, { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace, labels }, spec } as never);
  const removeService = (index: 1 | 2, name: string, namespace = 'app1'): Promise<unknown> =>
    client(index).delete(SERVICES, { namespace, name });
  const useSecret = (kubeconfigs: Readonly<Record<string, string>>): Promise<unknown> =>
    client(1).update(SECRETS, remoteSecret(kubeconfigs) as never);
  const ports = [{ port: 80, name: 'http' }];

  test('finds no error in clusters that fit, whichever are named', async () => {
    const { code, findings } = await check();
    assert.deepEqual(
      findings.filter(({ level }) => level === 'error'),
      [],
    );
    assert.equal(code, 0);
    assert.equal((await check('cluster1', 'cluster2', '--topology', 'flat')).code, 0);
    const alone = await runMeltemi(kubeconfig, 'precheck', 'multicluster', 'cluster1');
    assert.deepEqual([alone.code, /Two clusters or more/.test(alone.stderr)], [64, true]);
    const unknown = await runMeltemi(kubeconfig, 'precheck', 'multicluster', 'cluster1', 'cluster9');
    assert.match(unknown.stderr, /No context "cluster9" in the kubeconfig, which has cluster1, cluster2/);
  });

  interface Fault {
    readonly name: string;
    readonly inject: () => Promise<unknown>;
    readonly heal: () => Promise<unknown>;
    readonly check: string;
    readonly level?: string;
    readonly message: RegExp;
    readonly flags?: readonly string[];
  }
  const goodSecret = (): Promise<unknown> => useSecret({ cluster2: remoteKubeconfig('https://0.0.0.0:1') });
  const faults: readonly Fault[] = [
    {
      name: '1 a server on loopback',
      inject: () => useSecret({ cluster2: remoteKubeconfig(url(2)) }),
      heal: goodSecret,
      check: 'server-address',
      message: /https:\/\/127\.0\.0\.1:\d+, an address that no other machine reaches/,
    },
    {
      name: '1 a server whose certificate is for another name',
      inject: () => useSecret({ cluster2: remoteKubeconfig(url(2).replace('127.0.0.1', '0.0.0.0')) }),
      heal: goodSecret,
      check: 'server-address',
      message: /the certificate of https:\/\/0\.0\.0\.0:\d+ is not for that address/,
    },
    {
      name: '1 a server of another authority',
      inject: () => useSecret({ cluster2: remoteKubeconfig(url(1).replace('127.0.0.1', '0.0.0.0')) }),
      heal: goodSecret,
      check: 'server-address',
      message: /is not of the authority in the secret, or another server answers there/,
    },
    {
      name: '3 pods of overlapping ranges on one network',
      inject: () => node(2, '10.11.128.0/17'),
      heal: () => node(2, '10.12.0.0/16'),
      check: 'cidr-overlap',
      message: /pods 10\.11\.0\.0\/16 and pods 10\.11\.128\.0\/17 overlap on one network/,
    },
    {
      name: '3 pods in the range of the other cluster’s services',
      inject: () => node(2, '10.111.4.0/24'),
      heal: () => node(2, '10.12.0.0/16'),
      check: 'cidr-overlap',
      message: /services 10\.111\.0\.0\/16 and pods 10\.111\.4\.0\/24 overlap on one network/,
    },
    {
      name: '3 pods in the range that the mesh allocates from',
      inject: () => node(2, '240.240.8.0/24'),
      heal: () => node(2, '10.12.0.0/16'),
      check: 'cidr-overlap',
      message: /pods 240\.240\.8\.0\/24 overlap 240\.240\.0\.0\/16/,
    },
    {
      name: '5 two networks and no gateway',
      inject: async () => [await label(1, 'n1'), await label(2, 'n2')],
      heal: async () => [await label(1, null), await label(2, null)],
      check: 'gateway-address',
      message: /no Service is a gateway to its network n1/,
    },
    {
      name: '6 different roots',
      inject: async () => [await rootMap(2, other.certificatePem), await cacerts(2, intermediate(other))],
      heal: async () => [await rootMap(2, root.certificatePem), await cacerts(2, intermediate(root))],
      check: 'shared-root',
      message: /they have no root in common: mutual TLS between them will fail/,
    },
    {
      name: '6 an intermediate that ended',
      inject: () => cacerts(1, intermediate(root, -DAY_MS)),
      heal: () => cacerts(1, intermediate(root)),
      check: 'intermediate',
      message: /the intermediate has expired/,
    },
    {
      name: '6 a chain that is not complete',
      inject: () => cacerts(1, { 'cert-chain.pem': null }),
      heal: () => cacerts(1, intermediate(root)),
      check: 'intermediate',
      message: /Secret cacerts lacks cert-chain\.pem/,
    },
    {
      name: '6 no intermediate plugged in',
      inject: () => client(1).delete(SECRETS, { namespace: SYSTEM, name: 'cacerts' }),
      heal: () =>
        put(1, SECRETS, {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: 'cacerts', namespace: SYSTEM },
          data: intermediate(root),
        }),
      check: 'intermediate',
      level: 'warning',
      message: /no intermediate is plugged in/,
    },
    {
      name: '7 a name that two clusters have',
      inject: () => put(1, SECRETS, remoteSecret({ cluster2: remoteKubeconfig('https://0.0.0.0:1') }, 'twin') as never),
      heal: () => client(1).delete(SECRETS, { namespace: SYSTEM, name: 'twin' }),
      check: 'cluster-names',
      message: /"cluster2" names two clusters/,
    },
    {
      name: '7 a cluster attached under another name than its sidecars say',
      inject: () => useSecret({ 'n2-k8s-config': remoteKubeconfig('https://0.0.0.0:1') }),
      heal: goodSecret,
      check: 'injected-name',
      message:
        /its sidecars say that they are of cluster "cluster2", which no control plane knows \(cluster1, n2-k8s-config\)/,
    },
    {
      name: '7 a network label in one cluster only',
      inject: () => label(1, 'n1'),
      heal: () => label(1, null),
      check: 'network-label',
      message: /it does not say on which network it is, while other clusters do/,
    },
    {
      name: '7 one network where there should be two',
      inject: async () => undefined,
      heal: async () => undefined,
      flags: ['--topology', 'multi-network'],
      check: 'network-label',
      message: /they share a network .*, and each should have its own/,
    },
    {
      name: '7 a remote cluster that names no control plane',
      inject: () => annotate('somebody'),
      heal: () => annotate('cluster1'),
      check: 'consent',
      level: 'warning',
      message: /it names none of cluster1/,
    },
    {
      name: '8 a reader that may not read',
      inject: () => client(2).request({ method: 'DELETE', path: `${ROLES}/istio-reader-clusterrole-istio-system` }),
      heal: () =>
        applyAll(client(2), remoteClusterManifests({ clusterName: 'cluster2', controlPlaneCluster: 'cluster1' })),
      check: 'reader-permissions',
      message: /its identity may not get services, list services, .* in cluster2/,
    },
    {
      name: '8 a token that ends soon',
      inject: async () => {
        const account = { namespace: SYSTEM, name: 'istio-reader-service-account' };
        const { token } = await client(2).createToken(account, { expirationSeconds: 3600 });
        await useSecret({ cluster2: remoteKubeconfig('https://0.0.0.0:1', { token }) });
      },
      heal: goodSecret,
      check: 'remote-secret',
      level: 'warning',
      message: /its token expires in 0 days/,
    },
    {
      name: '8 a kubeconfig that runs a command',
      inject: () =>
        useSecret({ cluster2: remoteKubeconfig('https://0.0.0.0:1').replace(/token: .*/, 'exec: {command: touch}') }),
      heal: goodSecret,
      check: 'remote-secret',
      message: /the kubeconfig of cluster2 is refused: .*exec/,
    },
    {
      name: '9 MC-36 a service that exists in one cluster only',
      inject: () => service(2, 'lonely', { ports }),
      heal: () => removeService(2, 'lonely'),
      check: 'service-places',
      level: 'warning',
      message: /app1\/lonely exists in this cluster only: the DNS of the others does not know the name/,
    },
    {
      name: '9 ports that differ',
      inject: async () => [
        await service(1, 'uneven', { ports }),
        await service(2, 'uneven', { ports: [{ port: 81 }] }),
      ],
      heal: async () => [await removeService(1, 'uneven'), await removeService(2, 'uneven')],
      check: 'service-ports',
      level: 'warning',
      message: /app1\/uneven has different ports/,
    },
    {
      name: '9 a headless service and one that is not',
      inject: async () => [
        await service(1, 'headless', { ports, clusterIP: 'None' }),
        await service(2, 'headless', { ports }),
      ],
      heal: async () => [await removeService(1, 'headless'), await removeService(2, 'headless')],
      check: 'service-ports',
      level: 'warning',
      message: /app1\/headless is of different types: headless in cluster1; ClusterIP in cluster2/,
    },
    {
      name: '9 sidecars in one cluster only',
      inject: () => injection(2, null),
      heal: () => injection(2, 'enabled'),
      check: 'namespace-injection',
      level: 'warning',
      message: /namespace app1 gets sidecars in cluster1 and none in cluster2/,
    },
    {
      name: '10 capture that leaves ranges out',
      inject: () =>
        put(1, CONFIG_MAPS, {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: 'istio-sidecar-injector', namespace: SYSTEM },
          data: { values: '{"global":{"proxy":{"includeIPRanges":"10.11.0.0/16,10.111.0.0/16"}}}' },
        }),
      heal: () => client(1).delete(CONFIG_MAPS, { namespace: SYSTEM, name: 'istio-sidecar-injector' }),
      check: 'include-ip-ranges',
      message: /leaves out pods of cluster2 10\.12\.0\.0\/16, services of cluster2 10\.112\.0\.0\/16/,
    },
    {
      name: '10 an old address of the control plane',
      inject: () => put(2, ENDPOINT_SLICES, slice('10.11.4.4')),
      heal: () => put(2, ENDPOINT_SLICES, slice('10.11.9.9')),
      check: 'remote-endpoints',
      message: /its Service istiod leads to 10\.11\.4\.4, where no control plane runs; live are 10\.11\.9\.9/,
    },
    {
      name: '10 a webhook that trusts another root',
      inject: () => writeBundle(other.certificatePem),
      heal: () => writeBundle(root.certificatePem),
      check: 'injection-webhook',
      message: /has a certificate that is not the mesh's root/,
    },
  ];
  const ROLES = '/apis/rbac.authorization.k8s.io/v1/clusterroles';
  const injection = (index: 1 | 2, value: string | null): Promise<unknown> =>
    client(index).patch(
      NAMESPACES,
      { name: 'app1' },
      { type: 'merge', body: { metadata: { labels: { 'istio-injection': value } } } },
    );

  for (const fault of faults) {
    test(`MC-42 precheck names ${fault.name}`, async () => {
      await fault.inject();
      try {
        const { code, findings } = await check(...(fault.flags ?? []), '--threshold', fault.level ?? 'error');
        const found = findings.find(
          ({ level, check: name, message }) =>
            level === (fault.level ?? 'error') && name === fault.check && fault.message.test(message),
        );
        assert.ok(
          found !== undefined,
          JSON.stringify(
            findings.filter(({ level }) => level !== 'pass'),
            null,
            1,
          ),
        );
        assert.ok((found.remedy ?? '') !== '', 'it says what to do');
        assert.equal(code, 79);
      } finally {
        await fault.heal();
      }
    });
  }
});
