import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '@meltemi/base';
import {
  MUTATING_WEBHOOK_CONFIGURATIONS,
  type MutatingWebhookConfiguration,
  type NewObject,
  type Webhook,
} from '@meltemi/kube';
import { eventually, FakeKubeClient } from '@meltemi/kube/testing';
import { createCaBundlePatcher, WEBHOOK_NAME_SUFFIX } from './ca-bundle-patcher.ts';

/** The webhooks of a revision, as an installation leaves them. */
function installed(revision: string, name: string): NewObject<MutatingWebhookConfiguration> {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name, labels: { 'istio.io/rev': revision } },
    webhooks: ['rev.namespace', 'namespace'].map((prefix) => ({
      name: `${prefix}.${WEBHOOK_NAME_SUFFIX}`,
      clientConfig: { service: { namespace: 'istio-system', name: 'istiod', path: '/inject' } },
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
    })),
  };
}

test('every injection webhook of the revision gets the roots, now and when they change; others are left alone', async () => {
  const client = new FakeKubeClient();
  const own = installed('default', 'istio-sidecar-injector');
  const foreign: Webhook = {
    name: 'other.example.com',
    clientConfig: { caBundle: 'b3RoZXI=' },
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  };
  client.seed(
    MUTATING_WEBHOOK_CONFIGURATIONS,
    { ...own, webhooks: [foreign, ...(own.webhooks ?? [])] },
    installed('canary', 'istio-sidecar-injector-canary'),
  );
  const patched: { name: string; body: readonly unknown[] }[] = [];
  // The fake knows merge patches only; what is asserted here is what is sent.
  client.patch = async (_ref, { name }, { body }) => {
    patched.push({ name, body: Array.isArray(body) ? body : [] });
    return {} as never;
  };
  let bundle = 'root-1';
  const stop = new AbortController();
  const patcher = createCaBundlePatcher({
    client,
    revision: 'default',
    bundle: () => bundle,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  try {
    await patcher.start(stop.signal);
    await eventually(() => assert.equal(patched.length, 1));
    assert.equal(patched[0]?.name, own.metadata.name);
    assert.deepEqual(patched[0]?.body.slice(0, 2), [
      { op: 'test', path: '/webhooks/1/name', value: 'rev.namespace.sidecar-injector.istio.io' },
      { op: 'add', path: '/webhooks/1/clientConfig/caBundle', value: Buffer.from('root-1').toString('base64') },
    ]);
    assert.doesNotMatch(JSON.stringify(patched), /webhooks\/0/);
    bundle = 'root-2';
    patcher.refresh();
    await eventually(() => assert.equal(patched.length, 2));
  } finally {
    stop.abort();
    await patcher[Symbol.asyncDispose]();
  }
});
