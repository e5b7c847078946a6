/** The control plane's duties against a real kube-apiserver, with the rights of its own account only. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { controlPlaneManifests, type ManifestObject } from '@meltemi/control-plane';
import {
  buildKubeconfig,
  CONFIG_MAPS,
  EVENTS,
  LEASES,
  NAMESPACES,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
  type ValidatingWebhookConfiguration,
} from '@meltemi/kube';
import { eventually, freePort } from '@meltemi/testing';
import { applyAll } from '../integration/control-plane-harness.ts';
import { startReplica } from '../integration/two-replicas.ts';
import { VIRTUAL_SERVICES, weightedVirtualService } from '../integration/virtual-services.ts';
import { missingForApiServer, startApiServerProcess } from './api-server-process.ts';

const DEADLINE_MS = 20_000;
const SYSTEM = 'istio-system';

/** No pod serves the webhooks' Service here, so that the API server is led to loopback. */
function leadWebhooksTo(port: number): (manifest: ManifestObject) => ManifestObject {
  return (manifest) => {
    if (manifest.kind !== 'ValidatingWebhookConfiguration') return manifest;
    const { webhooks } = manifest as unknown as ValidatingWebhookConfiguration;
    const clientConfig = { url: `https://127.0.0.1:${port}/validate` };
    return { ...manifest, webhooks: webhooks?.map((webhook) => ({ ...webhook, clientConfig })) };
  };
}

test('On a real API server two replicas have all the rights they need, prove the webhook, write statuses and follow each other', {
  skip: missingForApiServer(),
}, async () => {
  await using kube = await startApiServerProcess();
  const { client } = kube;
  const webhookPort = await freePort();
  // Definitions are served a moment after they are applied.
  await eventually(
    () => applyAll(client, controlPlaneManifests({ clusterName: 'cluster1' }).map(leadWebhooksTo(webhookPort))),
    DEADLINE_MS,
  );
  const createNamespace = (name: string): Promise<unknown> =>
    client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  await createNamespace('app1');
  const { token } = await client.createToken({ namespace: SYSTEM, name: 'istiod' });
  const kubeconfigPath = join(kube.directory, 'istiod.kubeconfig');
  writeFileSync(
    kubeconfigPath,
    buildKubeconfig([{ name: 'istiod', server: kube.url, certificateAuthorityPem: kube.ca, token }]),
  );
  const options = { kubeconfigPath, leaseDuration: '2s' };
  const flags = ['--enable-status', '--custom-hosts=localhost,127.0.0.1'];
  const webhook = `--https-addr=127.0.0.1:${webhookPort}`;
  await using first = await startReplica({ ...options, name: 'istiod-a', flags: [...flags, webhook] });
  await using second = await startReplica({ ...options, name: 'istiod-b', flags });

  const leader = async (): Promise<string> => {
    const lease = await client.find(LEASES, { namespace: SYSTEM, name: 'istio-namespace-controller-election' });
    return lease?.spec?.holderIdentity ?? '';
  };
  const rootIn = (namespace: string): Promise<unknown> =>
    eventually(() => client.get(CONFIG_MAPS, { namespace, name: 'istio-ca-root-cert' }), DEADLINE_MS);
  await eventually(async () => assert.equal(await leader(), 'istiod-a'), DEADLINE_MS);
  await rootIn('app1');
  await eventually(async () => {
    const { webhooks } = await client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, { name: 'istio-validator-istio-system' });
    assert.equal(webhooks?.[0]?.failurePolicy, 'Fail', first.log().slice(-2_000));
  }, DEADLINE_MS);
  await assert.rejects(
    client.create(VIRTUAL_SERVICES, {
      ...weightedVirtualService('bad', [0, 0]),
      metadata: { name: 'bad', namespace: 'app1', labels: { 'istio.io/rev': 'default' } },
    }),
    /denied the request.*weights sum to 0/,
  );
  await client.create(VIRTUAL_SERVICES, weightedVirtualService('good', [1, 1]));
  await eventually(async () => {
    const { metadata, status } = await client.get(VIRTUAL_SERVICES, { namespace: 'app1', name: 'good' });
    assert.deepEqual([status?.conditions?.[0]?.type, status?.conditions?.[0]?.status], ['Reconciled', 'True']);
    assert.equal(Number(status?.observedGeneration), metadata.generation);
  }, DEADLINE_MS);

  first.process.kill('SIGKILL');
  await eventually(async () => assert.equal(await leader(), 'istiod-b'), DEADLINE_MS);
  await createNamespace('app2');
  await rootIn('app2');

  for (const replica of [first, second]) assert.doesNotMatch(replica.log(), /lack of a permission|Forbidden/);
  const { items } = await client.list(EVENTS, { namespace: SYSTEM });
  assert.deepEqual(
    items.filter(({ reason }) => reason === 'MissingPermission'),
    [],
  );
});
