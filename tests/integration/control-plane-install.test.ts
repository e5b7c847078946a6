/** A control plane in clusters that are not as they should be: webhooks, definitions and rights that are missing or wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ManifestObject } from '@meltemi/control-plane';
import {
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  EVENTS,
  NAMESPACES,
  SERVICES,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
  type ValidatingWebhookConfiguration,
} from '@meltemi/kube';
import { eventually } from '@meltemi/testing';
import { applyAll, type ControlPlaneHarness, DEADLINE_MS, fetchPage, startHarness } from './control-plane-harness.ts';
import { VIRTUAL_SERVICES, weightedVirtualService } from './virtual-services.ts';

const WEBHOOK = { name: 'istio-validator-istio-system' };

test('GALLEY-05 a webhook that is down, with a wrong certificate, does not stand in the way; it binds once it answers', async () => {
  const wrong = Buffer.from('wrong').toString('base64');
  const spoil = (manifest: ManifestObject): ManifestObject => {
    if (manifest.kind !== 'ValidatingWebhookConfiguration') return manifest;
    const { webhooks } = manifest as unknown as ValidatingWebhookConfiguration;
    const spoiled = webhooks?.map((webhook) => ({
      ...webhook,
      clientConfig: { ...webhook.clientConfig, caBundle: wrong },
      failurePolicy: 'Fail',
    }));
    return { ...manifest, webhooks: spoiled };
  };
  await using mesh = await startHarness([], { install: (manifests) => manifests.map(spoil) });
  const state = async () => {
    const { webhooks = [] } = await mesh.client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, WEBHOOK);
    return { policy: webhooks[0]?.failurePolicy, bundle: webhooks[0]?.clientConfig.caBundle };
  };
  await eventually(async () => assert.equal((await state()).policy, 'Ignore'), DEADLINE_MS);
  await mesh.client.create(VIRTUAL_SERVICES, weightedVirtualService('unchecked', [0, 0]));

  await mesh.client.create(ENDPOINT_SLICES, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'istiod-1', namespace: 'istio-system', labels: { 'kubernetes.io/service-name': 'istiod' } },
    addressType: 'IPv4',
    ports: [{ name: 'https-webhook', port: mesh.controlPlane.ports.webhooks, protocol: 'TCP' }],
    endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true } }],
  });
  await eventually(async () => assert.equal((await state()).policy, 'Fail'), 2 * DEADLINE_MS);
  const { bundle } = await state();
  await assert.rejects(
    mesh.client.create(VIRTUAL_SERVICES, weightedVirtualService('checked', [0, 0])),
    /denied the request/,
  );
  await mesh.client.create(VIRTUAL_SERVICES, weightedVirtualService('good', [1, 1]));

  const { webhooks = [] } = await mesh.client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, WEBHOOK);
  const body = {
    webhooks: webhooks.map((webhook) => ({ ...webhook, clientConfig: { ...webhook.clientConfig, caBundle: wrong } })),
  };
  await mesh.client.patch(VALIDATING_WEBHOOK_CONFIGURATIONS, WEBHOOK, { type: 'merge', body });
  await eventually(async () => assert.deepEqual(await state(), { policy: 'Fail', bundle }), DEADLINE_MS);
});

test('A kind whose definition is missing at the start is followed once it is there, without a restart', async () => {
  const isMissing = ({ kind, metadata }: ManifestObject): boolean =>
    kind === 'CustomResourceDefinition' && metadata.name === 'virtualservices.networking.istio.io';
  let missing: readonly ManifestObject[] = [];
  await using mesh = await startHarness([], {
    install(manifests) {
      missing = manifests.filter(isMissing);
      return manifests.filter((manifest) => !isMissing(manifest) && manifest.kind !== 'ValidatingWebhookConfiguration');
    },
  });
  assert.equal(missing.length, 1);
  await applyAll(mesh.client, missing);
  await eventually(() => mesh.client.create(VIRTUAL_SERVICES, weightedVirtualService('late', [1, 1])), DEADLINE_MS);
  await eventually(async () => {
    const { accepted } = await mesh.debug<{ readonly accepted: readonly { readonly name: string }[] }>(
      '/debug/configz',
    );
    assert.deepEqual(
      accepted.map(({ name }) => name),
      ['late'],
    );
  }, 2 * DEADLINE_MS);
});

test('A right that is missing is named in readiness and by an Event; granted, the start goes on by itself', async () => {
  let complete: readonly ManifestObject[] = [];
  const withoutPods = (manifest: ManifestObject): ManifestObject => {
    if (manifest.kind !== 'ClusterRole') return manifest;
    const { rules } = manifest as unknown as { readonly rules: readonly { readonly resources: readonly string[] }[] };
    return {
      ...manifest,
      rules: rules.map((rule) => ({ ...rule, resources: rule.resources.filter((name) => name !== 'pods') })),
    };
  };
  await using mesh: ControlPlaneHarness = await startHarness(['--pod-name=istiod-x'], {
    awaitsReady: false,
    install(manifests) {
      const usual = manifests.filter(({ kind }) => kind !== 'ValidatingWebhookConfiguration');
      complete = usual.filter(({ kind }) => kind === 'ClusterRole');
      return usual.map(withoutPods);
    },
  });
  const readiness = () => fetchPage(mesh.controlPlane.ports.http, '/ready');
  const account = 'system:serviceaccount:istio-system:istiod';
  const words = `list pods for ${account}, cluster cluster1`;
  await eventually(async () => {
    assert.deepEqual(await readiness(), {
      status: 503,
      body: `still reading its sources\nmissing permission: ${words}\n`,
    });
    const { items } = await mesh.client.list(EVENTS, { namespace: 'istio-system' });
    const [event] = items.filter(({ reason }) => reason === 'MissingPermission');
    assert.equal(event?.involvedObject.name, 'istiod-x');
    assert.match(event.message ?? '', /may not list pods for system:serviceaccount:istio-system:istiod/);
  }, DEADLINE_MS);
  await applyAll(mesh.client, complete);
  await eventually(async () => assert.equal((await readiness()).status, 200), 2 * DEADLINE_MS);
});

test('discoverySelectors decide, while running, what of a cluster is part of the mesh', async () => {
  await using mesh = await startHarness();
  await mesh.cluster.createNamespace('outside', { mesh: 'no' });
  for (const namespace of ['app1', 'outside']) {
    await mesh.client.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 's', namespace },
      spec: { ports: [{ name: 'http', port: 80 }] },
    });
  }
  const services = async (): Promise<readonly string[]> => {
    const all = await mesh.debug<readonly { readonly name: string; readonly namespace: string }[]>('/debug/registryz');
    return all.filter(({ name }) => name === 's').map(({ namespace }) => namespace);
  };
  const select = async (text: string): Promise<void> => {
    const key = { namespace: 'istio-system', name: 'istio' };
    await mesh.client.patch(CONFIG_MAPS, key, { type: 'merge', body: { data: { mesh: text } } });
  };
  await eventually(async () => assert.deepEqual(await services(), ['app1', 'outside']), DEADLINE_MS);
  await select('discoverySelectors: [{matchExpressions: [{key: mesh, operator: NotIn, values: ["no"]}]}]');
  await eventually(async () => assert.deepEqual(await services(), ['app1']), DEADLINE_MS);
  // A namespace's label counts at once, and so does the end of the selection.
  const labels = { metadata: { labels: { mesh: 'yes' } } };
  await mesh.client.patch(NAMESPACES, { name: 'outside' }, { type: 'merge', body: labels });
  await eventually(async () => assert.deepEqual(await services(), ['app1', 'outside']), DEADLINE_MS);
  await select('discoverySelectors: [{matchLabels: {mesh: other}}]');
  await eventually(async () => assert.deepEqual(await services(), []), DEADLINE_MS);
  await select('{}');
  await eventually(async () => assert.deepEqual(await services(), ['app1', 'outside']), DEADLINE_MS);
});
