import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '@meltemi/base';
import {
  CONFIG_MAPS,
  NAMESPACES,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
  type ValidatingWebhookConfiguration,
} from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import { eventually } from '@meltemi/testing';
import { hasConsent } from './remote-consent.ts';
import { keepRootCertificates } from './root-certificates.ts';
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

test('keepRootCertificates writes the roots to every namespace with workloads, puts back what is changed, and follows new roots', async () => {
  const client = new FakeKubeClient();
  const namespace = (name: string): { apiVersion: string; kind: string; metadata: { name: string } } => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name },
  });
  client.seed(NAMESPACES, namespace('app1'), namespace('kube-public'));
  const roots = rootSource('one');
  const stop = new AbortController();
  const running = keepRootCertificates({ ...COMMON, client, roots }, stop.signal);
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
  stop.abort();
  await running;
});

const CONFIGURATION: ValidatingWebhookConfiguration = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  metadata: { name: 'istio-validator-istio-system', labels: { 'istio.io/rev': 'default' }, resourceVersion: '7' },
  webhooks: [
    {
      name: 'validation.istio.io',
      clientConfig: { service: { namespace: 'istio-system', name: 'istiod' } },
      failurePolicy: 'Ignore',
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
    },
  ],
};

test('keepValidationBundle makes the webhook binding together with its certificate', async () => {
  const client = new FakeKubeClient();
  const { resourceVersion: _version, ...metadata } = CONFIGURATION.metadata;
  const other = { ...metadata, name: 'istio-validator-b-istio-system', labels: { 'istio.io/rev': 'b' } };
  client.seed(VALIDATING_WEBHOOK_CONFIGURATIONS, { ...CONFIGURATION, metadata }, { ...CONFIGURATION, metadata: other });
  const stop = new AbortController();
  const running = keepValidationBundle(
    { ...COMMON, client, revision: 'default', roots: rootSource('pem') },
    stop.signal,
  );
  await eventually(
    () => {
      const [own] = client
        .objects(VALIDATING_WEBHOOK_CONFIGURATIONS)
        .filter((object) => object.metadata.name === metadata.name);
      const [webhook] = own?.webhooks ?? [];
      assert.equal(webhook?.failurePolicy, 'Fail');
      assert.equal(webhook.clientConfig.caBundle, Buffer.from('pem').toString('base64'));
    },
    DEADLINE_MS,
    5,
  );
  const foreign = client
    .objects(VALIDATING_WEBHOOK_CONFIGURATIONS)
    .find((object) => object.metadata.name === other.name);
  assert.equal(foreign?.webhooks?.[0]?.failurePolicy, 'Ignore', "another revision's is left alone");
  stop.abort();
  await running;
});

test('buildBundlePatch carries the version it was made from, and is absent when nothing is to be done', () => {
  const patch = buildBundlePatch(CONFIGURATION, 'pem') as {
    readonly metadata: object;
    readonly webhooks: NonNullable<ValidatingWebhookConfiguration['webhooks']>;
  };
  assert.deepEqual(patch.metadata, { resourceVersion: '7' });
  assert.equal(buildBundlePatch({ ...CONFIGURATION, webhooks: patch.webhooks }, 'pem'), undefined);
});

test('hasConsent reads the annotation of the system namespace', () => {
  const namespace = (value?: string): Parameters<typeof hasConsent>[0] => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: 'istio-system',
      ...(value === undefined ? {} : { annotations: { 'topology.istio.io/controlPlaneClusters': value } }),
    },
  });
  assert.equal(hasConsent(namespace('a, cluster1'), 'cluster1'), true);
  assert.equal(hasConsent(namespace('*'), 'cluster1'), true);
  assert.equal(hasConsent(namespace('cluster10'), 'cluster1'), false);
  assert.equal(hasConsent(namespace(), 'cluster1'), false);
});
