import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '@meltemi/base';
import type { Container, Pod } from '@meltemi/kube';
import { DEFAULT_INJECTOR_CONFIG, type InjectorConfig } from '../injector-config.ts';
import { createInjectHandler } from './inject-handler.ts';
import type { JsonPatchOperation } from './json-patch.ts';

const POD: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: '',
    generateName: 'helloworld-v1-5f7d-',
    labels: { app: 'helloworld', version: 'v1', 'pod-template-hash': '5f7d' },
    ownerReferences: [
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'helloworld-v1-5f7d', uid: 'u1', controller: true },
    ],
  },
  spec: {
    containers: [
      {
        name: 'helloworld',
        image: 'meltemi/helloworld',
        ports: [{ name: 'web', containerPort: 5000 }],
        readinessProbe: { httpGet: { path: '/health', port: 'web' }, periodSeconds: 5 },
        livenessProbe: { tcpSocket: { port: 5000 }, timeoutSeconds: 2 },
      },
    ],
    initContainers: [{ name: 'migrate' }],
    volumes: [{ name: 'data', emptyDir: {} }],
  },
};

function withAnnotations(annotations: Readonly<Record<string, string>>, pod: Pod = POD): Pod {
  return { ...pod, metadata: { ...pod.metadata, annotations: { ...pod.metadata.annotations, ...annotations } } };
}

function review(pod: unknown, config: Partial<InjectorConfig> = {}, path = '/inject') {
  const handle = createInjectHandler({
    config: () => ({ ...DEFAULT_INJECTOR_CONFIG, ...config }),
    nativeSidecars: (clusterId) => clusterId === 'modern',
    log: silentLog,
  });
  return handle(path, { request: { uid: 'r1', namespace: 'app1', object: pod } });
}

/** Applies the patch of an answer as the API server does. */
function inject(pod: Pod, config: Partial<InjectorConfig> = {}, path = '/inject'): Pod {
  const answer = review(pod, config, path);
  assert.ok(answer.ok, answer.ok ? '' : answer.error);
  const { allowed, patch, patchType, status } = answer.value.response;
  assert.equal(allowed, true, status?.message);
  assert.equal(patchType, 'JSONPatch');
  const result: Record<string, Record<string, unknown>> = JSON.parse(JSON.stringify(pod));
  for (const { op, path: target, value } of JSON.parse(
    Buffer.from(patch ?? '', 'base64').toString(),
  ) as JsonPatchOperation[]) {
    const [, section = '', member = ''] = target.split('/');
    const parent = result[section] ?? {};
    assert.equal(member in parent, op === 'replace', `${op} ${target}`);
    parent[member] = value;
  }
  return result as unknown as Pod;
}

function refusal(pod: Pod, config: Partial<InjectorConfig> = {}): string {
  const answer = review(pod, config);
  assert.ok(answer.ok);
  assert.equal(answer.value.response.allowed, false);
  assert.equal(answer.value.response.uid, 'r1');
  return answer.value.response.status?.message ?? '';
}

function proxyOf(pod: Pod): Container {
  return pod.spec.containers.find(({ name }) => name === 'istio-proxy') ?? assert.fail('no istio-proxy');
}

function envOf(container: Container): ReadonlyMap<string, string | undefined> {
  return new Map(container.env?.map(({ name, value, valueFrom }) => [name, value ?? valueFrom?.fieldRef?.fieldPath]));
}

test('a pod gets capture, sidecar, volumes, labels and annotations', () => {
  const pod = inject(POD, { clusterId: 'cluster1', network: 'network1' });
  assert.deepEqual(
    pod.spec.initContainers?.map(({ name }) => name),
    ['migrate', 'istio-init'],
  );
  assert.deepEqual(
    pod.spec.containers.map(({ name }) => name),
    ['helloworld', 'istio-proxy'],
  );
  assert.deepEqual(pod.spec.initContainers?.at(-1)?.args, [
    'istio-iptables',
    '-p',
    '15001',
    '-z',
    '15006',
    '-u',
    '1337',
    '-m',
    'REDIRECT',
    '-i',
    '*',
    '-x',
    '',
    '-b',
    '*',
    '-d',
    '15090,15021,15020',
  ]);
  const proxy = proxyOf(pod);
  assert.deepEqual(proxy.args?.slice(0, 4), ['proxy', 'sidecar', '--domain', '$(POD_NAMESPACE).svc.cluster.local']);
  assert.deepEqual(proxy.readinessProbe?.httpGet, { path: '/healthz/ready', port: 15_021 });
  assert.equal(proxy.readinessProbe?.periodSeconds, 1);
  const env = envOf(proxy);
  assert.equal(env.get('ISTIO_META_CLUSTER_ID'), 'cluster1');
  assert.equal(env.get('ISTIO_META_NETWORK'), 'network1');
  assert.equal(env.get('ISTIO_META_WORKLOAD_NAME'), 'helloworld-v1');
  assert.equal(env.get('ISTIO_META_OWNER'), 'kubernetes://apis/apps/v1/namespaces/app1/deployments/helloworld-v1');
  assert.equal(env.get('ISTIO_META_POD_PORTS'), '[{"name":"web","containerPort":5000}]');
  assert.equal(env.get('INSTANCE_IP'), 'status.podIP');
  assert.equal(env.get('CA_ADDR'), 'istiod.istio-system.svc:15012');
  assert.equal(env.has('MELTEMI_PROXY_BINARY'), false);
  const volumes = new Set(pod.spec.volumes?.map(({ name }) => name));
  assert.ok(proxy.volumeMounts?.every(({ name }) => volumes.has(name)));
  assert.ok(volumes.has('data'));
  const { labels = {}, annotations = {} } = pod.metadata;
  assert.equal(labels['security.istio.io/tlsMode'], 'istio');
  assert.equal(labels['service.istio.io/canonical-name'], 'helloworld');
  assert.equal(labels['service.istio.io/canonical-revision'], 'v1');
  assert.equal(annotations['kubectl.kubernetes.io/default-container'], 'helloworld');
  assert.deepEqual(JSON.parse(annotations['sidecar.istio.io/status'] ?? '').containers, ['istio-proxy']);
});

test("the path of a remote cluster's webhook names its cluster and network", () => {
  const env = envOf(proxyOf(inject(POD, {}, '/inject/cluster/eu--slash--2/net/network2')));
  assert.equal(env.get('ISTIO_META_CLUSTER_ID'), 'eu/2');
  assert.equal(env.get('ISTIO_META_NETWORK'), 'network2');
  assert.equal(review(POD, {}, '/inject/region/x').ok, false);
  assert.equal(review(POD, {}, '/other').ok, false);
});

test('probes ask the agent, which is told what they were', () => {
  const pod = inject(POD);
  const application = pod.spec.containers[0];
  assert.deepEqual(application?.readinessProbe, {
    httpGet: { path: '/app-health/helloworld/readyz', port: 15_020, scheme: 'HTTP' },
    periodSeconds: 5,
  });
  assert.equal(application?.livenessProbe?.httpGet?.path, '/app-health/helloworld/livez');
  assert.deepEqual(JSON.parse(envOf(proxyOf(pod)).get('ISTIO_KUBE_APP_PROBERS') ?? ''), {
    '/app-health/helloworld/readyz': { httpGet: { path: '/health', port: 5000 } },
    '/app-health/helloworld/livez': { tcpSocket: { port: 5000 }, timeoutSeconds: 2 },
  });
  const untouched = inject(withAnnotations({ 'sidecar.istio.io/rewriteAppHTTPProbers': 'false' }));
  assert.deepEqual(untouched.spec.containers[0]?.readinessProbe, POD.spec.containers[0]?.readinessProbe);
});

test('SEC-54 injecting an injected pod changes nothing', () => {
  const scraped = withAnnotations({
    'prometheus.io/scrape': 'true',
    'prometheus.io/port': '9090',
    'prometheus.io/path': '/m',
  });
  for (const pod of [POD, scraped]) {
    const once = inject(pod);
    const answer = review(once);
    assert.ok(answer.ok);
    assert.deepEqual(JSON.parse(Buffer.from(answer.value.response.patch ?? '', 'base64').toString()), []);
  }
  const saved = envOf(proxyOf(inject(scraped))).get('ISTIO_PROMETHEUS_ANNOTATIONS');
  assert.deepEqual(JSON.parse(saved ?? ''), { scrape: 'true', port: '9090', path: '/m' });
});

test('SEC-55 an invalid IP range refuses the pod, naming the annotation', () => {
  const message = refusal(withAnnotations({ 'traffic.sidecar.istio.io/includeOutboundIPRanges': '10.0.0.0/33' }));
  assert.match(message, /traffic\.sidecar\.istio\.io\/includeOutboundIPRanges/);
  assert.match(message, /"10\.0\.0\.0\/33" is not an IP range; write ranges such as 10\.0\.0\.0\/8/);
});

test('every kind of annotation is checked, and all problems are named at once', () => {
  const message = refusal(
    withAnnotations({
      'traffic.sidecar.istio.io/excludeInboundPorts': '80,http',
      'sidecar.istio.io/interceptionMode': 'TPROXY',
      'sidecar.istio.io/proxyCPU': 'much',
      'status.sidecar.istio.io/port': '70000',
      'sidecar.istio.io/logLevel': 'loud',
    }),
  );
  for (const name of [
    'excludeInboundPorts',
    'interceptionMode',
    'proxyCPU',
    'status.sidecar.istio.io/port',
    'logLevel',
  ]) {
    assert.ok(message.includes(name), name);
  }
  assert.match(refusal(withAnnotations({ 'proxy.istio.io/config': 'a: [' })), /proxy\.istio\.io\/config/);
  assert.match(refusal(withAnnotations({ 'prometheus.io/port': '15090' })), /15090.*port of the sidecar/);
});

test('a misspelt annotation is allowed with a warning that names the right one', () => {
  const answer = review(withAnnotations({ 'sidecar.istio.io/proxyCpu': '100m' }));
  assert.ok(answer.ok);
  assert.equal(answer.value.response.allowed, true);
  assert.match(
    answer.value.response.warnings?.[0] ?? '',
    /proxyCpu has no effect; did you mean sidecar\.istio\.io\/proxyCPU\?/,
  );
});

test('capture annotations reach the init container', () => {
  const pod = inject(
    withAnnotations({
      'traffic.sidecar.istio.io/includeOutboundIPRanges': '10.0.0.0/8',
      'traffic.sidecar.istio.io/excludeOutboundIPRanges': '10.1.0.0/16',
      'traffic.sidecar.istio.io/excludeOutboundPorts': '3306',
      'traffic.sidecar.istio.io/includeOutboundPorts': '31400',
      'traffic.sidecar.istio.io/includeInboundPorts': '80,81',
      'traffic.sidecar.istio.io/excludeInboundPorts': '22',
      'traffic.sidecar.istio.io/excludeInterfaces': 'net1',
      'status.sidecar.istio.io/port': '15999',
    }),
  );
  assert.deepEqual(pod.spec.initContainers?.at(-1)?.args?.slice(9), [
    '-i',
    '10.0.0.0/8',
    '-x',
    '10.1.0.0/16',
    '-b',
    '80,81',
    '-d',
    '15090,15021,15999,22',
    '-q',
    '31400',
    '-o',
    '3306',
    '-c',
    'net1',
  ]);
  assert.deepEqual(
    inject(withAnnotations({ 'sidecar.istio.io/interceptionMode': 'NONE' })).spec.initContainers?.map(
      ({ name }) => name,
    ),
    ['migrate'],
  );
});

test('a proxy that must be ready first comes first and holds the others', () => {
  const pod = inject(
    withAnnotations({ 'proxy.istio.io/config': 'holdApplicationUntilProxyStarts: true\nconcurrency: 3' }),
    { proxyConfig: { concurrency: 2 } },
  );
  assert.deepEqual(
    pod.spec.containers.map(({ name }) => name),
    ['istio-proxy', 'helloworld'],
  );
  assert.deepEqual(proxyOf(pod).lifecycle?.postStart?.exec?.command, ['pilot-agent', 'wait']);
  assert.deepEqual(JSON.parse(envOf(proxyOf(pod)).get('PROXY_CONFIG') ?? ''), {
    concurrency: 3,
    holdApplicationUntilProxyStarts: true,
  });
});

test("a native sidecar is an init container that keeps running, before the pod's own, and can be injected again", () => {
  const pod = inject(withAnnotations({ 'sidecar.istio.io/nativeSidecar': 'true' }));
  assert.deepEqual(
    pod.spec.initContainers?.map(({ name, restartPolicy }) => [name, restartPolicy]),
    [
      ['istio-init', undefined],
      ['istio-proxy', 'Always'],
      ['migrate', undefined],
    ],
  );
  assert.deepEqual(
    pod.spec.containers.map(({ name }) => name),
    ['helloworld'],
  );
  const proxy = pod.spec.initContainers?.[1];
  assert.equal(proxy?.startupProbe?.httpGet?.path, '/healthz/ready');
  assert.deepEqual(proxy?.lifecycle?.preStop?.exec?.command?.slice(-2), ['POST', 'drain']);
  assert.deepEqual(inject(pod), pod);
});

test("whether the proxy is a native sidecar is up to the pod's cluster, and to the pod before it", () => {
  const isNative = (pod: Pod): boolean => pod.spec.containers.every(({ name }) => name !== 'istio-proxy');
  const asked = (wish: string): Pod => withAnnotations({ 'sidecar.istio.io/nativeSidecar': wish });
  const modern = '/inject/cluster/modern';
  assert.equal(isNative(inject(POD, {}, modern)), true);
  assert.equal(isNative(inject(POD, {}, '/inject/cluster/old')), false);
  assert.equal(isNative(inject(POD, { clusterId: 'modern' })), true);
  assert.equal(isNative(inject(asked('false'), {}, modern)), false);
  assert.equal(isNative(inject(asked('true'), {}, '/inject/cluster/old')), true);
});

test('the configured proxy binary and proxyMetadata reach the sidecar', () => {
  const env = envOf(
    proxyOf(
      inject(POD, { proxyBinary: '/usr/bin/envoy', proxyConfig: { proxyMetadata: { ISTIO_DELTA_XDS: 'false' } } }),
    ),
  );
  assert.equal(env.get('MELTEMI_PROXY_BINARY'), '/usr/bin/envoy');
  assert.equal(env.get('ISTIO_DELTA_XDS'), 'false');
});

test('pods that refuse, and bodies that are no reviews of pods, are answered without a patch', () => {
  const answer = review({ ...POD, metadata: { ...POD.metadata, labels: { 'sidecar.istio.io/inject': 'false' } } });
  assert.ok(answer.ok);
  assert.deepEqual(answer.value.response, { uid: 'r1', allowed: true });
  for (const body of [undefined, {}, { metadata: {} }, { metadata: {}, spec: {} }])
    assert.equal(review(body).ok, false);
  assert.match(refusal({ ...POD, spec: { ...POD.spec, volumes: [{ name: 'istio-token' }] } }), /volume istio-token/);
  assert.match(
    refusal({ ...POD, spec: { ...POD.spec, containers: [{ name: 'istio-proxy' }] } }),
    /container istio-proxy/,
  );
});
