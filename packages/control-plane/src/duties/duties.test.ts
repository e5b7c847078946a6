import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '@meltemi/base';
import {
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  type EndpointSlice,
  EVENTS,
  KubeError,
  type KubeObject,
  LEASES,
  NAMESPACES,
  SERVICES,
  type Service,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
  type ValidatingWebhookConfiguration,
} from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import { eventually } from '@meltemi/testing';
import { untilAborted } from '../until-aborted.ts';
import { type RemoteDutyOptions, runRemoteDuties } from './cluster-duties.ts';
import { keepDiscoveryAddresses } from './discovery-address.ts';
import { createLeadership, leaseTiming } from './leadership.ts';
import { tellDoubleClaims } from './namespace-claims.ts';
import { keepTrust } from './namespace-config-maps.ts';
import { readConsent } from './remote-consent.ts';
import { followReplicaAddresses } from './replica-addresses.ts';
import { buildBundlePatch, keepValidationBundle } from './validation-bundle.ts';

const DEADLINE_MS = 5000;
const COMMON = { clock: systemClock, random: systemRandom, log: silentLog };

function rootSource(first: string): {
  readonly rootPem: () => string;
  readonly onChange: (listener: () => void) => () => void;
  replace(next: string): void;
} {
  let pem = first;
  const listeners = new Set<() => void>();
  return {
    rootPem: () => pem,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    replace(next) {
      pem = next;
      for (const listener of listeners) listener();
    },
  };
}

test('keepTrust writes the roots to every namespace with workloads, puts back what is changed, and follows new roots', async () => {
  const client = new FakeKubeClient();
  const namespace = (name: string): { apiVersion: string; kind: string; metadata: { name: string } } => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name },
  });
  client.seed(NAMESPACES, namespace('app1'), namespace('kube-public'));
  const roots = rootSource('one');
  const stop = new AbortController();
  const selection = rootSource('');
  const running = keepTrust(
    {
      ...COMMON,
      client,
      roots,
      revocations: undefined,
      discoversNamespace: (labels) => labels['mesh'] !== selection.rootPem(),
      onSelectionChange: selection.onChange,
    },
    stop.signal,
  );
  const written = (): readonly (readonly [string | undefined, string | undefined])[] =>
    client.objects(CONFIG_MAPS).map(({ metadata, data }) => [metadata.namespace, data?.['root-cert.pem']]);
  await eventually(() => assert.deepEqual(written(), [['app1', 'one']]), DEADLINE_MS, 5);
  await client.create(NAMESPACES, namespace('app2'));
  roots.replace('two');
  await eventually(
    () =>
      assert.deepEqual(written(), [
        ['app1', 'two'],
        ['app2', 'two'],
      ]),
    DEADLINE_MS,
    5,
  );
  await client.patch(
    CONFIG_MAPS,
    { name: 'istio-ca-root-cert', namespace: 'app1' },
    { type: 'merge', body: { data: { 'root-cert.pem': 'forged' } } },
  );
  await eventually(() => assert.equal(written()[0]?.[1], 'two'), DEADLINE_MS, 5);
  // A namespace that the mesh does not take in gets none, until it is taken in.
  selection.replace('no');
  await client.create(NAMESPACES, { ...namespace('outside'), metadata: { name: 'outside', labels: { mesh: 'no' } } });
  await client.create(NAMESPACES, namespace('app3'));
  await eventually(() => assert.equal(written().length, 3), DEADLINE_MS, 5);
  assert.deepEqual(written().at(-1), ['app3', 'two']);
  selection.replace('');
  await eventually(() => assert.ok(written().some(([name]) => name === 'outside')), DEADLINE_MS, 5);
  stop.abort();
  await running;
});

const CONFIGURATION: ValidatingWebhookConfiguration = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  metadata: { name: 'istio-validator-istio-system', labels: { 'istio.io/rev': 'default' } },
  webhooks: [
    {
      name: 'rev.validation.istio.io',
      clientConfig: { service: { namespace: 'istio-system', name: 'istiod' } },
      failurePolicy: 'Ignore',
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
    },
    {
      name: 'other.example.org',
      clientConfig: { url: 'https://other.example.org', caBundle: 'b3RoZXI=' },
      failurePolicy: 'Ignore',
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
    },
  ],
};

const REFUSED = 'denied the request: annotation internal.istio.io/webhook-always-reject asks for a refusal';
const CALLED = new KubeError(`admission webhook "rev.validation.istio.io" ${REFUSED}`, { statusCode: 422 });
const FOREIGN = new KubeError('admission webhook "validate.kyverno.svc" denied the request: hosts', {
  statusCode: 400,
});
const DOWN = new KubeError('failed calling webhook "rev.validation.istio.io": connection refused', { statusCode: 500 });

test('GALLEY-05 the webhook becomes binding once the API server has refused by it, not while it cannot be called', async () => {
  const client = new FakeKubeClient();
  const foreign = { ...CONFIGURATION.metadata, name: 'canary', labels: { 'istio.io/rev': 'canary' } };
  client.seed(VALIDATING_WEBHOOK_CONFIGURATIONS, CONFIGURATION, { ...CONFIGURATION, metadata: foreign });
  const stop = new AbortController();
  let answer: KubeError | undefined = DOWN;
  client.failWhen(({ verb, ref }) => (verb === 'create' && ref.plural === 'virtualservices' ? answer : undefined));
  const roots = rootSource('pem');
  const running = keepValidationBundle(
    { ...COMMON, client, revision: 'default', systemNamespace: 'istio-system', roots },
    stop.signal,
  );
  const state = (name = CONFIGURATION.metadata.name) =>
    client
      .objects(VALIDATING_WEBHOOK_CONFIGURATIONS)
      .find(({ metadata }) => metadata.name === name)
      ?.webhooks?.map(({ clientConfig, failurePolicy }) => [failurePolicy, clientConfig.caBundle]);
  const tests = (): number => client.calls.filter(({ ref }) => ref.plural === 'virtualservices').length;
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  await eventually(() => assert.ok(tests() >= 2), DEADLINE_MS, 5);
  assert.deepEqual(state(), [
    ['Ignore', base64('pem')],
    ['Ignore', 'b3RoZXI='],
  ]);
  answer = CALLED;
  await eventually(() => assert.deepEqual(state()?.[0], ['Fail', base64('pem')]), DEADLINE_MS, 5);
  // Once proven it stays binding, whatever happens to the certificate.
  answer = DOWN;
  roots.replace('new');
  await eventually(() => assert.deepEqual(state()?.[0], ['Fail', base64('new')]), DEADLINE_MS, 5);
  assert.deepEqual(state('canary'), [
    ['Ignore', undefined],
    ['Ignore', 'b3RoZXI='],
  ]);
  stop.abort();
  await running;
});

test('What another webhook refuses proves nothing, and a proof holds for one configuration', async () => {
  const client = new FakeKubeClient();
  const validator = (name: string, operator: string) => ({
    ...CONFIGURATION,
    metadata: { ...CONFIGURATION.metadata, name },
    webhooks: (CONFIGURATION.webhooks ?? []).slice(0, 1).map((webhook) => ({
      ...webhook,
      objectSelector: { matchExpressions: [{ key: 'istio.io/rev', operator }] },
    })),
  });
  client.seed(
    VALIDATING_WEBHOOK_CONFIGURATIONS,
    validator('of-revision', 'Exists'),
    validator('of-all', 'DoesNotExist'),
  );
  const stop = new AbortController();
  let answers: { labelled: KubeError; unlabelled: KubeError } = { labelled: FOREIGN, unlabelled: FOREIGN };
  let tests = 0;
  client.failWhen(({ verb, ref, object }) => {
    if (verb !== 'create' || ref.plural !== 'virtualservices') return undefined;
    tests += 1;
    const { labels } = (object as KubeObject).metadata;
    return labels === undefined ? answers.unlabelled : answers.labelled;
  });
  const running = keepValidationBundle(
    { ...COMMON, client, revision: 'default', systemNamespace: 'istio-system', roots: rootSource('pem') },
    stop.signal,
  );
  const policies = () =>
    Object.fromEntries(
      client
        .objects(VALIDATING_WEBHOOK_CONFIGURATIONS)
        .map(({ metadata, webhooks }) => [metadata.name, webhooks?.[0]?.failurePolicy]),
    );
  await eventually(() => assert.ok(tests >= 4), DEADLINE_MS, 5);
  assert.deepEqual(policies(), { 'of-revision': 'Ignore', 'of-all': 'Ignore' });
  answers = { labelled: CALLED, unlabelled: FOREIGN };
  await eventually(() => assert.equal(policies()['of-revision'], 'Fail'), DEADLINE_MS, 5);
  const before = tests;
  await eventually(() => assert.ok(tests > before), DEADLINE_MS, 5);
  assert.equal(policies()['of-all'], 'Ignore');
  answers = { labelled: CALLED, unlabelled: CALLED };
  await eventually(() => assert.equal(policies()['of-all'], 'Fail'), DEADLINE_MS, 5);
  stop.abort();
  await running;
});

test('buildBundlePatch leaves a URL with a certificate of the user alone, and renews what it wrote itself', () => {
  const byUrl = (caBundle?: string): ValidatingWebhookConfiguration => ({
    ...CONFIGURATION,
    webhooks: (CONFIGURATION.webhooks ?? []).slice(0, 1).map((webhook) => ({
      ...webhook,
      clientConfig: { url: 'https://istiod.example.com/validate', ...(caBundle === undefined ? {} : { caBundle }) },
    })),
  });
  const wanted = { rootPem: 'pem', failurePolicy: 'Fail' } as const;
  assert.equal(buildBundlePatch(byUrl('dXNlcg=='), wanted), undefined);
  const first = buildBundlePatch(byUrl(), wanted) as Required<ValidatingWebhookConfiguration>;
  const written = { ...byUrl(), webhooks: first.webhooks, metadata: { ...CONFIGURATION.metadata, ...first.metadata } };
  assert.equal(buildBundlePatch(written, wanted), undefined);
  assert.notEqual(buildBundlePatch(written, { ...wanted, rootPem: 'new' }), undefined);
});

test('A control plane that begins anew lets configuration pass while a binding webhook is not reached', async () => {
  const client = new FakeKubeClient();
  const webhooks = CONFIGURATION.webhooks?.map((webhook) => ({ ...webhook, failurePolicy: 'Fail' as const }));
  client.seed(VALIDATING_WEBHOOK_CONFIGURATIONS, { ...CONFIGURATION, ...(webhooks === undefined ? {} : { webhooks }) });
  const stop = new AbortController();
  client.failWhen(({ verb, ref }) => (verb === 'create' && ref.plural === 'virtualservices' ? DOWN : undefined));
  const running = keepValidationBundle(
    { ...COMMON, client, revision: 'default', systemNamespace: 'istio-system', roots: rootSource('pem') },
    stop.signal,
  );
  const policies = () =>
    client.objects(VALIDATING_WEBHOOK_CONFIGURATIONS)[0]?.webhooks?.map(({ failurePolicy }) => failurePolicy);
  await eventually(() => assert.deepEqual(policies(), ['Ignore', 'Fail']), DEADLINE_MS, 5);
  stop.abort();
  await running;
});

test('buildBundlePatch carries the version it was made from, and is absent when nothing is to be done', () => {
  const wanted = { rootPem: 'pem', failurePolicy: 'Fail' } as const;
  const versioned = { ...CONFIGURATION, metadata: { ...CONFIGURATION.metadata, resourceVersion: '7' } };
  const patch = buildBundlePatch(versioned, wanted) as {
    readonly metadata: object;
    readonly webhooks: NonNullable<ValidatingWebhookConfiguration['webhooks']>;
  };
  assert.deepEqual(patch.metadata, { resourceVersion: '7' });
  assert.equal(buildBundlePatch({ ...CONFIGURATION, webhooks: patch.webhooks }, wanted), undefined);
});

test('readConsent reads the annotation of the system namespace, and whether others are named too', () => {
  const namespace = (value?: string): Parameters<typeof readConsent>[0] => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: 'istio-system',
      ...(value === undefined ? {} : { annotations: { 'topology.istio.io/controlPlaneClusters': value } }),
    },
  });
  assert.equal(readConsent(namespace('a, cluster1'), 'cluster1'), 'shared');
  assert.equal(readConsent(namespace('*'), 'cluster1'), 'shared');
  assert.equal(readConsent(namespace('cluster1,'), 'cluster1'), 'sole');
  assert.equal(readConsent(namespace('cluster10'), 'cluster1'), 'none');
  assert.equal(readConsent(namespace(), 'cluster1'), 'none');
});

function slice(name: string, endpoints: EndpointSlice['endpoints']): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'istio-system', labels: { 'kubernetes.io/service-name': 'istiod' } },
    addressType: 'IPv4',
    ...(endpoints === undefined ? {} : { endpoints }),
    ports: [],
  };
}

const ISTIOD: Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'istiod', namespace: 'istio-system', uid: 'istiod-uid' },
  spec: {},
};

test('keepDiscoveryAddresses leads a remote cluster to every ready replica, and follows them', async () => {
  const local = new FakeKubeClient();
  const remote = new FakeKubeClient();
  const ready = (ip: string, isReady = true) => ({ addresses: [ip], conditions: { ready: isReady } });
  remote.seed(SERVICES, ISTIOD);
  local.seed(ENDPOINT_SLICES, slice('istiod-1', [ready('10.0.0.2'), ready('10.0.0.9', false)]));
  const stop = new AbortController();
  const addresses = followReplicaAddresses(
    { ...COMMON, client: local, namespace: 'istio-system', revision: 'default', podIp: '10.0.0.1' },
    stop.signal,
  );
  const running = keepDiscoveryAddresses(
    {
      ...COMMON,
      clusterId: 'cluster2',
      client: remote,
      revision: 'default',
      addresses,
      systemNamespace: 'istio-system',
    },
    stop.signal,
  );
  const written = () => remote.objects(ENDPOINT_SLICES)[0]?.endpoints?.flatMap((endpoint) => endpoint.addresses);
  await eventually(() => assert.deepEqual(written(), ['10.0.0.1', '10.0.0.2']), DEADLINE_MS, 5);
  assert.deepEqual(remote.objects(ENDPOINT_SLICES)[0]?.metadata.ownerReferences, [
    { apiVersion: 'v1', kind: 'Service', name: 'istiod', uid: 'istiod-uid' },
  ]);
  const key = { namespace: 'istio-system', name: 'istiod-1' };
  await local.patch(ENDPOINT_SLICES, key, { type: 'merge', body: { endpoints: [ready('10.0.0.3')] } });
  await eventually(() => assert.deepEqual(written(), ['10.0.0.1', '10.0.0.3']), DEADLINE_MS, 5);
  stop.abort();
  await running;
});

test('Of two control planes that a remote cluster names one writes there, and the other when that is gone', async () => {
  const remote = new FakeKubeClient();
  const consent = { 'topology.istio.io/controlPlaneClusters': '*' };
  remote.seed(SERVICES, ISTIOD);
  remote.seed(NAMESPACES, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'istio-system', annotations: consent },
  });
  const always = {
    isLeading: true,
    run: untilAborted,
    whileLeading: (signal: AbortSignal, work: (term: AbortSignal) => Promise<void>) => work(signal),
  };
  const start = (controlPlaneCluster: string, ip: string) => {
    const stop = new AbortController();
    const options: RemoteDutyOptions = {
      ...COMMON,
      clusterId: 'shared',
      client: remote,
      revision: 'default',
      systemNamespace: 'istio-system',
      roots: rootSource(controlPlaneCluster),
      revocations: undefined,
      discoversNamespace: () => true,
      onSelectionChange: () => () => undefined,
      leaderships: { namespaces: always, webhooks: always },
      controlPlaneCluster,
      addresses: { list: () => [ip], onChange: () => () => undefined },
      candidate: {
        identity: `${controlPlaneCluster}/istiod`,
        timing: { leaseDurationMs: 200, renewDeadlineMs: 100, retryMs: 10 },
      },
    };
    return { stop, running: runRemoteDuties(options, stop.signal) };
  };
  const written = () => [
    remote.objects(CONFIG_MAPS)[0]?.data?.['root-cert.pem'],
    remote.objects(ENDPOINT_SLICES)[0]?.endpoints?.[0]?.addresses[0],
  ];
  const a = start('a', '10.0.0.1');
  await eventually(() => assert.deepEqual(written(), ['a', '10.0.0.1']), DEADLINE_MS, 5);
  const b = start('b', '10.0.0.2');
  const looks = (): number => remote.calls.filter(({ verb, ref }) => verb === 'get' && ref.plural === 'leases').length;
  const before = looks();
  await eventually(() => assert.ok(looks() > before + 6), DEADLINE_MS, 5);
  assert.deepEqual(written(), ['a', '10.0.0.1']);
  a.stop.abort();
  await a.running;
  await eventually(() => assert.deepEqual(written(), ['b', '10.0.0.2']), DEADLINE_MS, 5);
  b.stop.abort();
  await b.running;
});

test('Leadership does work in each term, and ends a term only when its work has ended', async () => {
  const client = new FakeKubeClient();
  const stop = new AbortController();
  const timing = { leaseDurationMs: 200, renewDeadlineMs: 100, retryMs: 10 };
  const lease = { namespace: 'istio-system', name: 'l' };
  const leadership = createLeadership({ ...COMMON, client, lease, identity: 'a', timing });
  const told: string[] = [];
  const running = leadership.run(stop.signal);
  const working = leadership.whileLeading(stop.signal, async (term) => {
    told.push('begun');
    await untilAborted(term);
    told.push('ended');
  });
  await eventually(() => assert.deepEqual(told, ['begun']), DEADLINE_MS, 5);
  const heal = client.failWhen(() => new KubeError('away', { statusCode: 0 }));
  await eventually(() => assert.deepEqual(told, ['begun', 'ended']), DEADLINE_MS, 5);
  assert.equal(leadership.isLeading, false);
  heal();
  await eventually(() => assert.deepEqual(told, ['begun', 'ended', 'begun']), DEADLINE_MS, 5);
  stop.abort();
  await Promise.all([running, working]);
  assert.equal((await client.get(LEASES, lease)).spec?.holderIdentity, '');
});

test('A lease that is too short is refused at the start', () => {
  for (const leaseDurationMs of [0, -1_000, 1_999, Number.NaN]) {
    assert.throws(() => leaseTiming(leaseDurationMs), /Cannot use lease-duration .* must be 2s or more/);
  }
  assert.deepEqual(leaseTiming(15_000), { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 });
});

test('A namespace that names two control planes is told by an Event, which says which one has the say', async () => {
  const client = new FakeKubeClient();
  const namespace = (name: string, labels: Readonly<Record<string, string>>) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  });
  client.seed(
    NAMESPACES,
    namespace('both', { 'istio-injection': 'enabled', 'istio.io/rev': 'canary' }),
    namespace('one', { 'istio.io/rev': 'canary' }),
  );
  const stop = new AbortController();
  const running = tellDoubleClaims({ ...COMMON, clusterId: 'cluster1', client }, stop.signal);
  const events = () =>
    client.objects(EVENTS).map(({ involvedObject, reason, message }) => [involvedObject.name, reason, message]);
  const words =
    'istio-injection=enabled goes before istio.io/rev=canary: pods get the sidecar of the default revision, and revision "canary" is passed over; remove one of the two labels';
  await eventually(() => assert.deepEqual(events(), [['both', 'IST0123', words]]), DEADLINE_MS, 5);
  await client.patch(
    NAMESPACES,
    { name: 'one' },
    { type: 'merge', body: { metadata: { labels: { 'istio-injection': 'disabled' } } } },
  );
  await eventually(() => assert.equal(events().length, 2), DEADLINE_MS, 5);
  assert.match(String(events().find(([name]) => name === 'one')?.[2]), /pods get no sidecar/);
  stop.abort();
  await running;
});
