import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemNamespace } from '@meltemi/control-plane';
import { createTestCluster } from '../../packages/local/src/api-server/testing/test-cluster.ts';
import { adminClient, applyAll } from '../integration/control-plane-harness.ts';
import { CASES } from './cases.ts';
import { ownObjects } from './helm.ts';

test('an API server takes the objects of every chart with every value, unknown fields refused', async () => {
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  await applyAll(client, [systemNamespace({})]);
  await cluster.createNamespace('mesh');
  for (const { chart, what, values, namespace } of CASES) {
    const objects = ownObjects(chart, values, namespace);
    assert.ok(objects.length > 0, what);
    await applyAll(client, objects);
  }
});
