import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startRecordingProxy } from '../testing/recording-proxy.ts';
import { httpChain, listenerJson, routeJson, staticCluster } from '../testing/resources.ts';
import { buildNode, toRuntimeNode } from './proxy-node.ts';
import { readBootstrap } from './read-bootstrap.ts';

const run = promisify(execFile);
const main = fileURLToPath(new URL('../main.ts', import.meta.url));
let directory = '';

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'meltemi-bootstrap-'));
});
after(() => rm(directory, { recursive: true }));

const BOOTSTRAP = {
  node: { id: 'n1', cluster: 'c1' },
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
  static_resources: {
    listeners: [listenerJson('http', 0, httpChain({ route_config: routeJson('local', 'backend') }))],
    clusters: [staticCluster('backend', 9)],
  },
};

const read = (overlay: string, allowUnknownFields = false) =>
  readBootstrap({ path: undefined, overlayText: overlay, allowUnknownFields });

test('PROXY-01 --mode validate prints that the configuration is OK and exits 0', async () => {
  const path = join(directory, 'good.json');
  await writeFile(path, JSON.stringify(BOOTSTRAP));
  const { stdout } = await run(process.execPath, [main, '--mode', 'validate', '-c', path]);
  assert.equal(stdout, `configuration '${path}' OK\n`);
});

test('PROXY-02 an unknown static field is an error with its path; allowed, it is counted', async () => {
  const path = join(directory, 'unknown.json');
  await writeFile(
    path,
    JSON.stringify({ ...BOOTSTRAP, static_resources: { clusters: [{ ...staticCluster('a', 1), nmae: 'b' }] } }),
  );
  await assert.rejects(
    run(process.execPath, [main, '--mode', 'validate', '-c', path]),
    (error: { code: number; stderr: string }) => {
      assert.equal(error.code, 1);
      assert.match(
        error.stderr,
        /static_resources\.clusters\[0\]\.nmae: envoy\.config\.cluster\.v3\.Cluster has no such field/,
      );
      return true;
    },
  );
  const { unknownFields } = await readBootstrap({ path, overlayText: undefined, allowUnknownFields: true });
  assert.deepEqual(
    unknownFields.map((field) => field.path),
    ['static_resources.clusters[0].nmae'],
  );
  await using recording = await startRecordingProxy(BOOTSTRAP, { unknownFieldCount: unknownFields.length });
  assert.match((await recording.admin('/stats?filter=static_unknown')).body, /^server\.static_unknown_fields: 1$/m);
});

test('PROXY-04 --config-yaml replaces scalars and appends to lists of the file', async () => {
  const path = join(directory, 'base.json');
  await writeFile(path, JSON.stringify(BOOTSTRAP));
  const overlay = 'node: {id: n2}\nstatic_resources: {clusters: [{name: more, type: STATIC}]}';
  const { bootstrap } = await readBootstrap({ path, overlayText: overlay, allowUnknownFields: false });
  assert.equal(bootstrap.node?.id, 'n2');
  assert.equal(bootstrap.node?.cluster, 'c1');
  assert.deepEqual(
    bootstrap.staticResources?.clusters.map(({ name }) => name),
    ['backend', 'more'],
  );
});

test('unknown fields are found inside lists, maps and extensions, and unsupported types are never allowed', async () => {
  const filter = (config: object) => ({
    static_resources: {
      listeners: [{ name: 'a', filter_chains: [{ filters: [{ name: 'f', typed_config: config }] }] }],
    },
  });
  const tcp = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
    stat_prefx: 'x',
  };
  await assert.rejects(
    read(JSON.stringify(filter(tcp))),
    /listeners\[0\]\.filter_chains\[0\]\.filters\[0\]\.typed_config\.stat_prefx/,
  );
  const strange = { '@type': 'type.googleapis.com/envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy' };
  await assert.rejects(
    read(JSON.stringify(filter(strange)), true),
    /unsupported type envoy\.extensions\.filters\.network\.mongo_proxy\.v3\.MongoProxy/,
  );
  await assert.rejects(read('{"static_resources": ['), /Cannot read the bootstrap given by --config-yaml/);
});

test("every flag that Istio's agent passes is accepted; an unknown flag names the nearest", async () => {
  const path = join(directory, 'flags.json');
  await writeFile(path, JSON.stringify(BOOTSTRAP));
  const flags = [
    '-c',
    path,
    '--drain-time-s',
    '45',
    '--drain-strategy',
    'immediate',
    '--local-address-ip-version',
    'v4',
  ];
  flags.push(
    '--file-flush-interval-msec',
    '1000',
    '--disable-hot-restart',
    '--allow-unknown-static-fields',
    '-l',
    'warning',
  );
  flags.push(
    '--file-flush-min-size-kb',
    '4',
    '--component-log-level',
    'misc:error',
    '--concurrency',
    '2',
    '--skip-deprecated-logs',
  );
  await run(process.execPath, [main, '--mode', 'validate', ...flags]);
  await assert.rejects(
    run(process.execPath, [main, '--concurency', '2']),
    (error: { code: number; stderr: string }) => {
      assert.equal(error.code, 64);
      assert.match(error.stderr, /did you mean --concurrency/);
      return true;
    },
  );
});

test('peer metadata is deterministic, whatever the order of the labels', () => {
  const metadata = (labels: Record<string, string>) => ({
    NAME: 'pod',
    NAMESPACE: 'app1',
    WORKLOAD_NAME: 'sleep',
    LABELS: labels,
  });
  const encode = (labels: Record<string, string>): string => {
    const node = buildNode(undefined, { id: 'i', cluster: 'c', zone: undefined });
    node.metadata = metadata(labels);
    return toRuntimeNode(node, 'host').peerMetadata;
  };
  assert.equal(encode({ app: 'a', version: 'v1', secret: 'x' }), encode({ version: 'v1', app: 'a' }));
  assert.notEqual(encode({ app: 'a' }), encode({ app: 'b' }));
});
