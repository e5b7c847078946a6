import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findPeer, freePort } from '@meltemi/testing';
import { startRecordingProxy } from '../testing/recording-proxy.ts';
import { httpChain, listenerJson, routeJson, staticCluster } from '../testing/resources.ts';

const bootstrapOf = (adminPort: number, listenerPort: number) => ({
  node: { id: 'n1', cluster: 'c1' },
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
  static_resources: {
    listeners: [
      listenerJson('http', listenerPort, httpChain({ route_config: routeJson('local', 'backend') }), {
        traffic_direction: 'INBOUND',
      }),
    ],
    clusters: [staticCluster('backend', 9), staticCluster('outbound|80||a.b.svc.cluster.local', 9)],
  },
});

test('admin answers probes, refuses GET on mutations as Envoy does, and lists its commands for an unknown path', async () => {
  await using recording = await startRecordingProxy(bootstrapOf(0, 10_080));
  assert.deepEqual(await recording.admin('/ready'), { status: 200, body: 'LIVE\n' });
  assert.deepEqual(await recording.admin('/drain_listeners'), {
    status: 405,
    body: 'Method GET not allowed, POST required.',
  });
  const unknown = await recording.admin('/nope');
  assert.equal(unknown.status, 404);
  assert.match(unknown.body, /^invalid path\. admin commands are:\n/);
  assert.match(unknown.body, /\/quitquitquit \(POST\)/);
  assert.equal((await recording.admin('/config_dump?resource=nothing')).status, 404);
  assert.equal((await recording.admin('/stats?filter=(')).status, 400);
});

test("stats that the bootstrap excludes are not shown, the main thread's among them, nor are its own tags", async () => {
  const bootstrap = {
    ...bootstrapOf(0, 10_080),
    stats_config: {
      use_all_default_tags: false,
      stats_tags: [{ tag_name: 'manager', regex: '^((.+?)_manager\\.)' }],
      stats_matcher: { exclusion_list: { patterns: [{ prefix: 'server.' }, { suffix: 'added' }] } },
    },
  };
  await using recording = await startRecordingProxy(bootstrap);
  const { body } = await recording.admin('/stats');
  assert.doesNotMatch(body, /^server\.|added: /m);
  assert.match(body, /^listener_manager\.workers_started: 1$/m);
  const { body: prometheus } = await recording.admin('/stats/prometheus');
  assert.doesNotMatch(prometheus, /envoy_server|added/);
  assert.match(prometheus, /^envoy_workers_started\{manager="listener"\} 1$/m);
});

test('admin takes paths as they are sent: what passes for metrics in front of it is no other command here', async () => {
  const port = await freePort();
  await using recording = await startRecordingProxy(bootstrapOf(port, 10_080));
  for (const path of ['/stats/prometheus/../../quitquitquit', '/stats/%2e%2e/quitquitquit', '//quitquitquit', '//']) {
    const outgoing = request({ host: '127.0.0.1', port, path, method: 'POST', agent: false });
    const [incoming] = await once(outgoing.end(), 'response');
    incoming.resume();
    assert.equal(incoming.statusCode, 404, path);
  }
  assert.deepEqual(recording.exits, []);
});

test('PROXY-75 drain_listeners?inboundonly drains inbound listeners; graceful keeps accepting first', async () => {
  await using recording = await startRecordingProxy(bootstrapOf(0, 10_080));
  assert.deepEqual(await recording.admin('/drain_listeners?inboundonly&graceful', 'POST'), {
    status: 200,
    body: 'OK\n',
  });
  const drains = await recording.eventually(() => {
    const found = recording.events.filter(({ message }) => message === 'drain');
    return found.length > 0 && found;
  });
  assert.deepEqual(
    drains.map(({ fields }) => [fields['scope'], fields['stopAccepting']]),
    [['inbound', false]],
  );
  assert.equal((await recording.admin('/ready')).status, 200, 'outbound still serves');
  await recording.admin('/drain_listeners', 'POST');
  assert.equal((await recording.admin('/ready')).body, 'DRAINING\n');
});

test('quitquitquit asks the host to end the process; logging changes levels; reset_counters zeroes', async () => {
  await using recording = await startRecordingProxy(bootstrapOf(0, 10_080));
  assert.match((await recording.admin('/logging?xds=debug', 'POST')).body, /xds: debug/);
  assert.equal((await recording.admin('/logging?level=loud', 'POST')).status, 400);
  const added = /^cluster_manager\.cluster_added: 2$/m;
  assert.match((await recording.admin('/stats')).body, added);
  await recording.admin('/reset_counters', 'POST');
  assert.doesNotMatch((await recording.admin('/stats')).body, added);
  assert.equal((await recording.admin('/quitquitquit', 'POST')).body, 'OK\n');
  assert.deepEqual(await recording.eventually(() => recording.exits[0]), { code: 0, message: 'asked to quit' });
});

test('PROXY-76 Prometheus text gives every stat a family with a type and a value', async () => {
  await using recording = await startRecordingProxy(bootstrapOf(0, 10_080));
  const { body } = await recording.admin('/stats/prometheus');
  assert.match(body, /^# TYPE envoy_server_live gauge\nenvoy_server_live\{\} 1$/m);
  for (const line of body.trimEnd().split('\n')) {
    assert.match(
      line,
      /^(# TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge|histogram)|[a-zA-Z_:][a-zA-Z0-9_:]*\{.*\} [-+0-9.eE]+)$/,
    );
  }
});

const envoy = findPeer('envoy');

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode === null) {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}

/** The shape of a JSON value: member names and kinds of values, lists by their first element. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shape(value[0])];
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, member]): [string, unknown] => [key, key === '@type' || key === 'name' ? member : shape(member)])
      .sort(([left], [right]) => (left < right ? -1 : 1)),
  );
}

test("admin output has the shape of real Envoy's for the same static bootstrap", {
  skip: envoy === undefined && 'envoy is missing; run "npm run peers"',
}, async (t) => {
  const adminPort = await freePort();
  const listenerPort = await freePort();
  const path = join(tmpdir(), `meltemi-admin-${process.pid}.json`);
  const addressPath = `${path}.address`;
  await writeFile(path, JSON.stringify(bootstrapOf(adminPort, listenerPort)));
  // Output goes nowhere: a pipe that nobody reads would stop it.
  const child = spawn(
    envoy ?? '',
    ['-c', path, '--concurrency', '1', '--disable-hot-restart', '-l', 'off', '--admin-address-path', addressPath],
    { stdio: 'ignore' },
  );
  t.after(async () => {
    await stop(child);
    await rm(path, { force: true });
    await rm(addressPath, { force: true });
  });
  await using recording = await startRecordingProxy(bootstrapOf(0, listenerPort));
  await recording.eventually(() => readFile(addressPath, 'utf8').catch(() => undefined));
  const theirs = async (command: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${adminPort}${command}`, { headers: { connection: 'close' } });
    return response.text();
  };
  await recording.eventually(async () => (await theirs('/ready')) === 'LIVE\n');
  const ours = async (command: string): Promise<string> => (await recording.admin(command)).body;

  assert.equal(await ours('/listeners'), await theirs('/listeners'));
  assert.deepEqual(
    JSON.parse(await ours('/listeners?format=json')),
    JSON.parse(await theirs('/listeners?format=json')),
  );
  assert.deepEqual(JSON.parse(await ours('/certs')), JSON.parse(await theirs('/certs')));
  for (const resource of ['static_clusters', 'static_listeners', 'static_route_configs']) {
    const command = `/config_dump?resource=${resource}`;
    assert.deepEqual(shape(JSON.parse(await ours(command))), shape(JSON.parse(await theirs(command))), resource);
  }
  const types = (dump: string): string[] =>
    JSON.parse(dump).configs.map((config: { '@type': string }) => config['@type']);
  const theirTypes = types(await theirs('/config_dump'));
  assert.deepEqual(
    types(await ours('/config_dump')).filter((type) => theirTypes.includes(type)),
    theirTypes,
  );
  const withoutHosts = (text: string): string[] =>
    text.split('\n').filter((line) => /::(default|high)_priority|added_via_api|observability/.test(line));
  assert.deepEqual(withoutHosts(await ours('/clusters')).sort(), withoutHosts(await theirs('/clusters')).sort());
  const theirInfo = JSON.parse(await theirs('/server_info'));
  const ourInfo = JSON.parse(await ours('/server_info'));
  const unknown = Object.keys(ourInfo).filter((member) => !(member in theirInfo));
  assert.deepEqual(unknown, []);
  const theirStats = new Set(
    (await theirs('/stats?filter=^(server|listener_manager|cluster_manager)%5C.'))
      .split('\n')
      .map((line) => line.split(':')[0]),
  );
  for (const name of [
    'server.live',
    'server.state',
    'server.uptime',
    'server.concurrency',
    'listener_manager.workers_started',
    'listener_manager.total_listeners_active',
    'cluster_manager.active_clusters',
    'cluster_manager.warming_clusters',
  ]) {
    assert.ok(theirStats.has(name), `Envoy has ${name}`);
    assert.match(await ours(`/stats?filter=^${name}$`), new RegExp(`^${name}: \\d+$`, 'm'));
  }
});
