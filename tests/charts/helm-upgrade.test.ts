import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, VALIDATING_WEBHOOK_CONFIGURATIONS } from '@meltemi/kube';
import { planInstallation } from '../../packages/cli/src/install/install-plan.ts';
import { readInstallSpec } from '../../packages/cli/src/install/install-spec.ts';
import { findOutdated } from '../../packages/cli/src/install/installed-objects.ts';
import { runInstallation } from '../../packages/cli/src/install/run-installation.ts';
import { createTestCluster } from '../../packages/local/src/api-server/testing/test-cluster.ts';
import { adminClient } from '../integration/control-plane-harness.ts';
import { CHARTS_FOLDER, needHelm } from './helm.ts';

const run = promisify(execFile);

test('helm upgrade leaves validation binding, as the control plane has made it', async (t) => {
  const helm = needHelm(t);
  if (helm === undefined) return;
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  const chart = ['istio-base', join(CHARTS_FOLDER, 'base'), '--namespace', 'istio-system'];
  // In another process: the API server is in this one.
  const call = (...args: readonly string[]): Promise<unknown> =>
    run(helm, [...args], { env: { ...process.env, HOME: cluster.directory, KUBECONFIG: cluster.adminKubeconfigPath } });
  await call('install', ...chart, '--create-namespace');
  const name = 'istiod-default-validator';
  const live = await client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, { name });
  assert.equal(live.webhooks?.[0]?.failurePolicy, 'Ignore');
  const webhooks = live.webhooks?.map((webhook) => ({
    ...webhook,
    failurePolicy: 'Fail',
    clientConfig: { ...webhook.clientConfig, caBundle: 'eA==' },
  }));
  const patch = { type: 'merge', body: { webhooks } } as const;
  await client.patch(VALIDATING_WEBHOOK_CONFIGURATIONS, { name }, patch, { fieldManager: 'istiod' });
  await call('upgrade', ...chart);
  const after = await client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, { name });
  assert.equal(after.webhooks?.[0]?.failurePolicy, 'Fail');
  assert.equal(after.webhooks?.[0]?.clientConfig.caBundle, 'eA==');
});

test('meltemi installs over what Helm has left, without taking anything over', async (t) => {
  const helm = needHelm(t);
  if (helm === undefined) return;
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  const env = { ...process.env, HOME: cluster.directory, KUBECONFIG: cluster.adminKubeconfigPath };
  const call = (...args: readonly string[]): Promise<unknown> =>
    run(helm, [...args, '--namespace', 'istio-system'], { env });
  await call('install', 'istio-base', join(CHARTS_FOLDER, 'base'), '--create-namespace');
  await call('install', 'istiod', join(CHARTS_FOLDER, 'control-plane'));
  await call('uninstall', 'istiod');
  await call('uninstall', 'istio-base');
  const left = await client.list(CUSTOM_RESOURCE_DEFINITIONS);
  assert.ok(left.items.length > 0);
  assert.deepEqual((await client.list(DEPLOYMENTS)).items, []);
  const plan = planInstallation(readInstallSpec([]));
  const counts = await runInstallation({
    client,
    plan,
    outdated: await findOutdated(client, plan),
    onProgress: () => {},
    onWarning: () => {},
    signal: new AbortController().signal,
  });
  assert.ok(counts.created > 10);
  assert.equal((await client.list(DEPLOYMENTS)).items.length, 1);
});
