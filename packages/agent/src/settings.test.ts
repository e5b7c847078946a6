import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildBootstrap } from './bootstrap/bootstrap.ts';
import { buildNode } from './bootstrap/node.ts';
import { parseProxyConfig } from './bootstrap/proxy-config.ts';
import { buildStatsSettings } from './bootstrap/stats-settings.ts';
import { resolveRootPath } from './identity/root-path.ts';
import { type AgentSettings, POD_PATHS, type ProxyFlags, pathsBelow, readSettings } from './settings.ts';

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

async function settingsFor(
  env: Readonly<Record<string, string>>,
  { flags = {}, config = '' }: { readonly flags?: Partial<ProxyFlags>; readonly config?: string } = {},
): Promise<AgentSettings> {
  const proxyConfig = await parseProxyConfig(config);
  assert.ok(proxyConfig.ok);
  const interfaceIps = ['192.0.2.7'];
  return readSettings({
    flags: { ...FLAGS, ...flags },
    env,
    proxyConfig: proxyConfig.value,
    interfaceIps,
    paths: POD_PATHS,
  });
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
      stats: buildStatsSettings({
        annotations: {},
        proxyConfig: {},
        instanceIps,
        exitsOnZeroConnections: false,
        isRegexp: () => true,
      }),
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
    isDualStack: false,
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
    assert.equal(path, join('/r', POD_PATHS[name as keyof typeof POD_PATHS]).replace(/\/$/, ''));
});

test('workers: the flag, else ProxyConfig, else what the container may use; 0 is one for each processor', async () => {
  const workers = async (env: Record<string, string>, more: Parameters<typeof settingsFor>[1] = {}) =>
    (await settingsFor(env, more)).concurrency;
  assert.equal(await workers({}), undefined);
  assert.equal(await workers({ ISTIO_CPU_LIMIT: '2' }), 2);
  assert.equal(await workers({ ISTIO_CPU_LIMIT: '1.5' }), 2);
  assert.equal(await workers({ ISTIO_CPU_LIMIT: '2' }, { config: '{"concurrency":4}' }), 4);
  assert.equal(await workers({ ISTIO_CPU_LIMIT: '2' }, { config: '{"concurrency":0}' }), undefined);
  assert.equal(await workers({}, { config: '{"concurrency":4}', flags: { concurrency: 1 } }), 1);
});

test('one log level flag may carry the levels of components', async () => {
  const levels = async (flags: Partial<ProxyFlags>) => {
    const { logLevel, componentLogLevel } = await settingsFor({}, { flags });
    return [logLevel, componentLogLevel];
  };
  assert.deepEqual(await levels({}), ['warning', 'misc:error']);
  assert.deepEqual(await levels({ proxyLogLevel: 'info,http:debug,misc:error' }), ['info', 'http:debug,misc:error']);
  assert.deepEqual(await levels({ proxyLogLevel: 'http:debug', proxyComponentLogLevel: 'a:info' }), [
    'warning',
    'a:info',
  ]);
});

test('headers and the name of the control plane come from the environment, each to its own service', async () => {
  const { headers, controlPlaneSan } = await settingsFor({
    XDS_HEADER_X_TEAM: 'a',
    CA_HEADER_B: 'c',
    ISTIOD_SAN: 'istiod',
  });
  assert.deepEqual(headers, { xds: { x_team: 'a' }, ca: { b: 'c' } });
  assert.equal(controlPlaneSan, 'istiod');
});

test('DNS queries are answered where they are captured, by the loopback address unless another one is named', async () => {
  assert.equal((await settingsFor({})).dns, undefined);
  assert.equal((await settingsFor({ ...LOOPBACK, ISTIO_META_DNS_CAPTURE: 'true' })).dns, undefined);
  const router = { flags: { nodeType: 'router' } };
  assert.equal((await settingsFor({ ISTIO_META_DNS_CAPTURE: 'true' }, router)).dns, undefined);
  assert.deepEqual((await settingsFor({ ISTIO_META_DNS_CAPTURE: 'true', DNS_FORWARD_PARALLEL: 'true' })).dns, {
    host: 'localhost',
    port: 15_053,
    forwardTimeoutMs: 5000,
    forwardsParallel: true,
  });
  assert.equal((await settingsFor({ ISTIO_META_DNS_CAPTURE: 'true', DNS_PROXY_ADDR: '[::1]:53' })).dns?.host, '::1');
  await assert.rejects(
    settingsFor({ ISTIO_META_DNS_CAPTURE: 'true', DNS_PROXY_ADDR: 'here' }),
    /DNS_PROXY_ADDR.*host:port/,
  );
});

test('the root is what the environment names, else the first of a machine, of provisioned files, of the pod', () => {
  const only =
    (...paths: readonly string[]) =>
    (path: string) =>
      paths.includes(path);
  const find = (env: Record<string, string>, exists: (path: string) => boolean, service: 'xds' | 'ca' = 'xds') =>
    resolveRootPath(env, service, { mounted: '/mounted' }, exists);
  assert.equal(find({ XDS_ROOT_CA: '/named' }, only('./etc/certs/root-cert.pem')), '/named');
  assert.equal(find({ XDS_ROOT_CA: 'SYSTEM' }, only()), 'SYSTEM');
  assert.equal(find({ XDS_ROOT_CA: '/named' }, only(), 'ca'), '/mounted');
  assert.equal(find({ CA_ROOT_CA: '/ca' }, only(), 'ca'), '/ca');
  assert.equal(
    find({ PROV_CERT: '/p' }, only('/p/root-cert.pem', './etc/certs/root-cert.pem')),
    './etc/certs/root-cert.pem',
  );
  assert.equal(find({ PROV_CERT: '/p' }, only('/p/root-cert.pem')), '/p/root-cert.pem');
  assert.equal(find({}, only()), '/mounted');
});

test('the families of the pod decide where agent and proxy listen', async () => {
  const of = async (interfaceIps: readonly string[]) => {
    const proxyConfig = await parseProxyConfig('');
    assert.ok(proxyConfig.ok);
    const { addresses } = readSettings({
      flags: FLAGS,
      env: {},
      proxyConfig: proxyConfig.value,
      interfaceIps,
      paths: POD_PATHS,
    });
    return [addresses.listen, addresses.isDualStack, addresses.local];
  };
  assert.deepEqual(await of(['10.0.0.7']), ['0.0.0.0', false, '127.0.0.1']);
  assert.deepEqual(await of(['fd00::7']), ['::', false, '::1']);
  assert.deepEqual(await of(['fd00::7', '10.0.0.7']), ['::', true, '127.0.0.1']);
  assert.deepEqual(await of([]), ['0.0.0.0', false, '127.0.0.1']);
});
