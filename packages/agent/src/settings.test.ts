import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildBootstrap } from './bootstrap/bootstrap.ts';
import { buildNode } from './bootstrap/node.ts';
import { parseProxyConfig } from './bootstrap/proxy-config.ts';
import { type AgentSettings, POD_PATHS, pathsBelow, readSettings } from './settings.ts';

const FLAGS = {
  nodeType: 'sidecar',
  domain: undefined,
  serviceCluster: undefined,
  proxyLogLevel: undefined,
  proxyComponentLogLevel: undefined,
  concurrency: undefined,
};
const LOOPBACK = {
  INSTANCE_IP: '127.11.1.2',
  MELTEMI_POD_ADDRESS: '127.11.1.2',
  MELTEMI_APP_ADDRESS: '127.11.129.2',
  MELTEMI_NAME_SERVER: '127.111.0.10:10053',
};

async function settingsFor(env: Readonly<Record<string, string>>): Promise<AgentSettings> {
  const proxyConfig = await parseProxyConfig('');
  assert.ok(proxyConfig.ok);
  const interfaceIps = ['192.0.2.7'];
  return readSettings({ flags: FLAGS, env, proxyConfig: proxyConfig.value, interfaceIps, paths: POD_PATHS });
}

function bootstrapText({ addresses, instanceIps }: AgentSettings): string {
  const node = buildNode({
    type: 'sidecar',
    env: {},
    podInfo: { labels: {}, annotations: {} },
    domain: 'app1.svc.cluster.local',
    serviceCluster: 'app',
    instanceIps,
    applicationAddress: addresses.application,
    proxyConfig: {},
    prometheusPort: 15_090,
    statusPort: 15_021,
  });
  return JSON.stringify(
    buildBootstrap({
      node,
      adminPort: 15_000,
      agentPort: 15_020,
      prometheusPort: 15_090,
      readinessPort: 15_021,
      sdsSocketPath: '/s',
      adsSocketPath: '/a',
      deltaDiscovery: true,
      soMark: undefined,
      listenAddress: addresses.listen,
      localAddress: addresses.local,
    }),
  );
}

test('a pod with a network of its own listens on all its addresses, and keeps admin to itself', async () => {
  const settings = await settingsFor({ INSTANCE_IP: '10.11.1.2' });
  assert.deepEqual(settings.instanceIps, ['10.11.1.2', '192.0.2.7']);
  assert.deepEqual(settings.addresses, {
    listen: '0.0.0.0',
    local: '127.0.0.1',
    application: undefined,
    nameServer: undefined,
  });
  assert.doesNotMatch(bootstrapText(settings), /APP_ADDRESS/);
});

test("a pod in the machine's network uses its own addresses only", async () => {
  const settings = await settingsFor(LOOPBACK);
  assert.deepEqual(settings.instanceIps, ['127.11.1.2']);
  assert.equal(settings.addresses.nameServer, '127.111.0.10:10053');
  const text = bootstrapText(settings);
  assert.match(text, /"APP_ADDRESS":"127\.11\.129\.2"/);
  assert.doesNotMatch(text, /0\.0\.0\.0|127\.0\.0\.1|192\.0\.2\.7/);
});

test('every path of a pod can lie below another root', () => {
  for (const [name, path] of Object.entries(pathsBelow('/r', POD_PATHS)))
    assert.equal(path, `/r${POD_PATHS[name as keyof typeof POD_PATHS]}`);
});
