import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RawResponse } from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import { KindsCatalog } from './kinds-catalog.ts';

/** A server with the core group, `apps`, and an extension that answers with a status of its own. */
function serverWith(extension: number): FakeKubeClient {
  const client = new FakeKubeClient();
  const groupOf = (name: string, version: string) => {
    const groupVersion = `${name}/${version}`;
    return { name, preferredVersion: { groupVersion }, versions: [{ groupVersion }] };
  };
  const list = (groupVersion: string, name: string, kind: string) => ({
    groupVersion,
    resources: [{ name, kind, namespaced: true }],
  });
  const documents: Readonly<Record<string, object>> = {
    '/apis': { groups: [groupOf('metrics.k8s.io', 'v1beta1'), groupOf('apps', 'v1')] },
    '/api/v1': list('v1', 'pods', 'Pod'),
    '/apis/apps/v1': list('apps/v1', 'deployments', 'Deployment'),
  };
  client.onRequest = ({ path }): RawResponse => {
    const document = documents[path];
    return { status: document === undefined ? extension : 200, headers: {}, body: JSON.stringify(document ?? {}) };
  };
  return client;
}

test('the kinds of a server are known although an extension is down, or gone since it was listed', async () => {
  for (const status of [404, 503]) {
    const catalog = await KindsCatalog.read(serverWith(status));
    assert.deepEqual(
      catalog.entries.map(({ ref }) => ref.kind),
      ['Pod', 'Deployment'],
    );
  }
  await assert.rejects(
    KindsCatalog.read(serverWith(403)),
    /Cannot read \/apis\/metrics\.k8s\.io\/v1beta1 .*status 403/,
  );
});
