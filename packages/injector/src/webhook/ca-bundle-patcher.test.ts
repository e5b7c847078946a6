import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Log, silentLog, systemClock, systemRandom } from '@meltemi/base';
import {
  KubeError,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  type MutatingWebhookConfiguration,
  type NewObject,
  type Webhook,
} from '@meltemi/kube';
import { eventually, FakeKubeClient } from '@meltemi/kube/testing';
import { ManualClock } from '@meltemi/testing';
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

test('a patch that fails is tried five times after 100 ms and then once a minute, for ever; a new bundle is tried at once', async () => {
  const client = new FakeKubeClient();
  client.seed(MUTATING_WEBHOOK_CONFIGURATIONS, installed('default', 'istio-sidecar-injector'));
  const clock = new ManualClock();
  const triedMs: number[] = [];
  client.patch = async () => {
    triedMs.push(clock.monotonicMs());
    throw new KubeError('the API server is away', { statusCode: 503 });
  };
  // A failure is logged when its next try is planned, so that the clock may move on.
  let failures = 0;
  const log: Log = { ...silentLog, warn: () => void (failures += 1) };
  let bundle = 'root-1';
  const stop = new AbortController();
  await using patcher = createCaBundlePatcher({
    client,
    revision: 'default',
    bundle: () => bundle,
    clock,
    random: systemRandom,
    log,
  });
  const failed = (count: number): Promise<void> => eventually(() => assert.equal(failures, count));
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  await patcher.start(stop.signal);
  for (let count = 1; count <= 6; count++) {
    await failed(count);
    clock.advance(99);
    await settle();
    assert.equal(failures, count, `no try before its time after failure ${count}`);
    clock.advance(1);
  }
  for (let count = 6; count <= 10; count++) {
    clock.advance(count === 6 ? 59_899 : 59_999);
    await settle();
    assert.equal(failures, count, 'no try before the minute is over');
    clock.advance(1);
    await failed(count + 1);
  }
  const minutes = [1, 2, 3, 4, 5].map((minute) => 500 + minute * 60_000);
  assert.deepEqual(triedMs, [0, 100, 200, 300, 400, 500, ...minutes]);
  clock.advance(1000);
  bundle = 'root-2';
  patcher.refresh();
  await failed(12);
  assert.equal(triedMs.at(-1), 301_500);
  stop.abort();
});
