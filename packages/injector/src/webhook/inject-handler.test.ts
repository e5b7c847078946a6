import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '@meltemi/kube';
import { readTemplates } from '../templates/read-templates.ts';
import { envOf, inject, POD, proxyOf, refusal, review, withAnnotations } from '../testing/pods.ts';

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
    '--log_output_level=default:info',
  ]);
  const proxy = proxyOf(pod);
  assert.deepEqual(proxy.args?.slice(0, 4), ['proxy', 'sidecar', '--domain', '$(POD_NAMESPACE).svc.cluster.local']);
  assert.deepEqual(proxy.readinessProbe?.httpGet, { path: '/healthz/ready', port: 15_021 });
  assert.equal(proxy.readinessProbe?.periodSeconds, 15);
  assert.deepEqual([proxy.startupProbe?.periodSeconds, proxy.startupProbe?.failureThreshold], [1, 600]);
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
  const template = 'spec: {containers: [{name: istio-proxy, env: [{name: ISTIO_META_CLUSTER_ID, value: mine}]}]}';
  const templates = readTemplates({ templates: { sidecar: template } });
  assert.ok(templates.ok);
  const path = '/inject/cluster/eu/net/n%2F1/MY_FLAG/on';
  assert.deepEqual(Object.fromEntries(envOf(proxyOf(inject(POD, { templates: templates.value }, path)))), {
    ISTIO_META_CLUSTER_ID: 'eu',
    ISTIO_META_NETWORK: 'n/1',
    MY_FLAG: 'on',
    ISTIO_KUBE_APP_PROBERS: envOf(proxyOf(inject(POD))).get('ISTIO_KUBE_APP_PROBERS'),
  });
  assert.equal(review(POD, {}, '/inject/cluster/%zz').ok, false);
  const variable = (text: string): string | undefined =>
    envOf(proxyOf(inject(POD, { templates: templates.value }, text))).get('REGION');
  assert.equal(variable('/inject/region/x'), 'x');
  assert.equal(variable('/inject/region/x/zone'), 'x', 'a key without a value is left out');
  assert.equal(review(POD, {}, '/inject/no-variable/x').ok, false);
  assert.equal(review(POD, {}, '/other').ok, false);
});

test('the path in the syntax of old says the same', () => {
  const env = envOf(proxyOf(inject(POD, {}, '/inject/:ENV:cluster=eu:ENV:net=network2:ENV:broken:ENV:=x')));
  assert.equal(env.get('ISTIO_META_CLUSTER_ID'), 'eu');
  assert.equal(env.get('ISTIO_META_NETWORK'), 'network2');
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
      'sidecar.istio.io/interceptionMode': 'ALL',
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
  const taken = { ...POD, spec: { ...POD.spec, volumes: [{ name: 'istio-token', emptyDir: {} }] } };
  assert.match(refusal(taken), /volume istio-token of its own, which the sidecar needs; rename it/);
});
