import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultMeshConfig } from '@meltemi/api';
import { type Log, silentLog, systemClock, systemRandom } from '@meltemi/base';
import { CONFIG_MAPS, type ConfigMap, type NewObject } from '@meltemi/kube';
import { eventually, FakeKubeClient } from '@meltemi/kube/testing';
import { createInjectorSettings } from './injector-settings.ts';

function configMap(name: string, config: string, values = '{}'): NewObject<ConfigMap> {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'istio-system' },
    data: { config, values },
  };
}

function settingsOf(client: FakeKubeClient, revision: string, errors: string[] = []) {
  const log: Log = { ...silentLog, error: (_message, details) => void errors.push(String(details?.['error'])) };
  const namespace = 'istio-system';
  const fixed = { clusterId: 'c1', meshConfig: defaultMeshConfig, clock: systemClock, random: systemRandom };
  return createInjectorSettings({ client, namespace, revision, log, ...fixed });
}

test('templates and values are followed while running; what cannot be read is told, and the last good ones stay', async () => {
  const client = new FakeKubeClient();
  client.seed(CONFIG_MAPS, configMap('istio-sidecar-injector', 'policy: disabled'));
  const errors: string[] = [];
  const settings = settingsOf(client, 'default', errors);
  const stop = new AbortController();
  await settings.start(stop.signal);
  try {
    assert.equal(settings.current().policy, 'disabled');
    assert.equal(settings.current().clusterId, 'c1');
    const name = 'istio-sidecar-injector';
    const write = async (config: string, values?: string): Promise<void> => {
      const { data = {} } = configMap(name, config, values);
      await client.patch(CONFIG_MAPS, { name, namespace: 'istio-system' }, { type: 'merge', body: { data } });
    };
    await write(
      'templates: {extra: "metadata: {}"}\ndefaultTemplates: [sidecar, extra]',
      '{"global": {"network": "n2"}}',
    );
    await eventually(() => assert.deepEqual(settings.current().templates.defaults, ['sidecar', 'extra']));
    assert.equal(settings.current().network, 'n2');
    await write('templates: {extra: "{{ if }}"}');
    await eventually(() => assert.match(errors[0] ?? '', /template extra:1:/));
    assert.deepEqual(settings.current().templates.defaults, ['sidecar', 'extra'], 'the last good ones stay');
    await write('policy: [');
    await eventually(() => assert.equal(errors.length, 2));
    assert.equal(settings.current().network, 'n2');
  } finally {
    stop.abort();
  }
});

test('a revision has a ConfigMap of its own', async () => {
  const client = new FakeKubeClient();
  client.seed(
    CONFIG_MAPS,
    configMap('istio-sidecar-injector', 'policy: enabled', '{"global": {"network": "default"}}'),
    configMap('istio-sidecar-injector-canary', 'policy: disabled', '{"global": {"network": "canary"}}'),
  );
  const stop = new AbortController();
  try {
    const settings = settingsOf(client, 'canary');
    await settings.start(stop.signal);
    assert.deepEqual([settings.current().policy, settings.current().network], ['disabled', 'canary']);
  } finally {
    stop.abort();
  }
});
