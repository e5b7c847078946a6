import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '@meltemi/base';
import { CONFIG_MAPS, NAMESPACES } from '@meltemi/kube';
import { eventually, FakeKubeClient } from '@meltemi/kube/testing';
import { createConfigMapDistributor, ROOT_CERT_CONFIG_MAP } from './config-map-distributor.ts';

function namespace(name: string, phase = 'Active') {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name }, status: { phase } };
}

async function pemIn(client: FakeKubeClient, name: string): Promise<string | undefined> {
  const found = await client.find(CONFIG_MAPS, { name: ROOT_CERT_CONFIG_MAP.name, namespace: name });
  return found?.data?.[ROOT_CERT_CONFIG_MAP.key];
}

test('SEC-16 a deleted root ConfigMap is restored, and a new namespace has one within 5 s', async () => {
  const client = new FakeKubeClient();
  client.seed(
    NAMESPACES,
    namespace('app1'),
    namespace('kube-system'),
    namespace('kube-public'),
    namespace('ending', 'Terminating'),
  );
  let bundle = 'root-1';
  const stop = new AbortController();
  const distributor = createConfigMapDistributor({
    client,
    configMap: ROOT_CERT_CONFIG_MAP,
    content: () => bundle,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  try {
    await distributor.start(stop.signal);
    assert.equal(await pemIn(client, 'app1'), 'root-1');
    assert.equal(await pemIn(client, 'kube-system'), 'root-1');
    assert.equal(await pemIn(client, 'kube-public'), undefined);
    assert.equal(await pemIn(client, 'ending'), undefined);
    const written = await client.get(CONFIG_MAPS, { name: ROOT_CERT_CONFIG_MAP.name, namespace: 'app1' });
    assert.equal(written.metadata.labels?.['istio.io/config'], 'true');

    await client.delete(CONFIG_MAPS, { name: ROOT_CERT_CONFIG_MAP.name, namespace: 'app1' });
    await eventually(async () => assert.equal(await pemIn(client, 'app1'), 'root-1'));

    await client.create(NAMESPACES, namespace('app2'));
    await eventually(async () => assert.equal(await pemIn(client, 'app2'), 'root-1'));

    await client.patch(
      CONFIG_MAPS,
      { name: ROOT_CERT_CONFIG_MAP.name, namespace: 'app2' },
      { type: 'merge', body: { data: { [ROOT_CERT_CONFIG_MAP.key]: 'forged' } } },
    );
    await eventually(async () => assert.equal(await pemIn(client, 'app2'), 'root-1'));

    bundle = 'root-2';
    distributor.refresh();
    for (const name of ['app1', 'app2', 'kube-system'])
      await eventually(async () => assert.equal(await pemIn(client, name), 'root-2'));
  } finally {
    stop.abort();
    await distributor[Symbol.asyncDispose]();
  }
});
