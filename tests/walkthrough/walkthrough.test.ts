import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually, findPeer } from '@meltemi/testing';
import { countVersions, startWalkthrough, type Walkthrough } from './environment-harness.ts';
import { addLoopbackTests, environmentPids } from './loopback-checks.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);
const noSandbox = probe.ok ? false : `network namespaces are not to be had: ${probe.reason}; ${probe.remedy}`;

interface DataPlane {
  readonly name: string;
  readonly proxyBinary?: string;
  /** Default: `auto`. */
  readonly sandbox?: 'auto' | 'loopback';
  /** Why it cannot run here. */
  readonly missing: string | false;
}

const envoy = findPeer('envoy');
const dataPlanes: readonly DataPlane[] = [
  { name: "Meltemi's proxy", missing: noSandbox },
  {
    name: 'Envoy',
    ...(envoy === undefined ? {} : { proxyBinary: envoy }),
    missing: noSandbox !== false ? noSandbox : envoy === undefined ? 'envoy is missing; run "npm run peers"' : false,
  },
  {
    name: "Meltemi's proxy, in the loopback sandbox,",
    sandbox: 'loopback',
    missing: process.platform === 'linux' ? false : 'the loopback sandbox needs Linux',
  },
];

/** Replaces the example's `sandbox: auto`. */
function inSandbox({ sandbox = 'auto' }: DataPlane): (meshYaml: string) => string {
  return (meshYaml) => meshYaml.replace('sandbox: auto', `sandbox: ${sandbox}`);
}

const HELLOWORLD_FILES = [
  '-f',
  'examples/helloworld/virtualservice.yaml',
  '-f',
  'examples/helloworld/destinationrule.yaml',
];

function assertMix(counts: ReadonlyMap<string, number>, total: number): void {
  assert.deepEqual([...counts.keys()].sort(), ['v1', 'v2'], `unexpected answers: ${JSON.stringify([...counts])}`);
  for (const version of ['v1', 'v2']) {
    const share = (counts.get(version) ?? 0) / total;
    assert.ok(share >= 0.35 && share <= 0.65, `${version} answered ${Math.round(share * 100)} %`);
  }
}

for (const plane of dataPlanes) {
  describe(`The walkthrough with ${plane.name} as every sidecar`, { skip: plane.missing }, () => {
    let mesh: Walkthrough;
    before(async () => {
      mesh = await startWalkthrough({
        edit: inSandbox(plane),
        ...(plane.proxyBinary === undefined ? {} : { proxyBinary: plane.proxyBinary }),
      });
    });
    after(async () => {
      await mesh?.[Symbol.asyncDispose]();
      if (mesh !== undefined) assert.deepEqual(environmentPids(mesh.directory), [], 'processes are left behind');
    });

    const succeed = async (args: readonly string[], input?: string): Promise<string> => {
      const result = await mesh.meltemi(args, input);
      assert.equal(result.code, 0, `meltemi ${args.join(' ')}: ${result.stderr}`);
      return result.stdout;
    };

    test('MC-17 both versions answer from sleep, 35 to 65 % each of 200', async () => {
      assertMix(await countVersions(mesh, 200), 200);
    });

    test('MC-18 after apply of VirtualService and DestinationRule only v2 answers, after delete both again', async () => {
      await succeed(['apply', '-n', 'app1', ...HELLOWORLD_FILES]);
      assert.deepEqual([...(await countVersions(mesh, 40))], [['v2', 40]]);
      await succeed(['delete', '-n', 'app1', ...HELLOWORLD_FILES]);
      assertMix(await countVersions(mesh, 200), 200);
    });

    test('proxy-status shows every sidecar of both clusters in sync', async () => {
      const rows = (await succeed(['proxy-status'])).trim().split('\n').slice(1);
      assert.equal(rows.length, 3, rows.join('\n'));
      for (const row of rows)
        assert.match(row, /^(sleep|helloworld-v[12])-\S+\.app1\s+cluster[12]\s+SYNCED\s+SYNCED\s+SYNCED\s+SYNCED\s/);
    });

    /** What the proxy of a deployment itself says: its configuration dump and its counters of rejected updates. */
    const assertAccepted = async (deployment: string, cluster: string): Promise<void> => {
      const inSidecar = [
        'exec',
        '-n',
        'app1',
        '--cluster',
        cluster,
        `deploy/${deployment}`,
        '-c',
        'istio-proxy',
        '--',
        'pilot-agent',
        'request',
        'GET',
      ];
      const rejected = (await succeed([...inSidecar, '/stats?filter=update_rejected'])).trim().split('\n');
      // Our proxy counts once for each type, Envoy once for each resource as well.
      assert.ok(rejected.length >= 2, rejected.join('\n'));
      for (const line of rejected) assert.match(line, /update_rejected: 0$/);
      const dump = JSON.parse(await succeed([...inSidecar, '/config_dump'])) as {
        readonly configs: readonly { readonly '@type': string; readonly version_info?: string }[];
      };
      const versionOf = (type: string): string | undefined =>
        dump.configs.find((config) => config['@type'].endsWith(type))?.version_info;
      const status = JSON.parse(await succeed(['proxy-status', '-o', 'json'])) as readonly {
        readonly proxy: string;
        readonly cluster_id: string;
        readonly types: Readonly<Record<string, { readonly acknowledgedVersion?: string }>>;
      }[];
      const own = status.find(({ proxy, cluster_id }) => proxy.startsWith(`${deployment}-`) && cluster_id === cluster);
      assert.equal(versionOf('.ClustersConfigDump'), own?.types['cds']?.acknowledgedVersion);
      assert.equal(versionOf('.ListenersConfigDump'), own?.types['lds']?.acknowledgedVersion);
    };

    test('no sidecar has rejected an update, and each dumps the versions that proxy-status shows', async () => {
      await assertAccepted('sleep', 'cluster1');
      await assertAccepted('helloworld-v1', 'cluster1');
      await assertAccepted('helloworld-v2', 'cluster2');
    });

    test('a sidecar that asks for state-of-the-world gets the same and rejects nothing', async () => {
      const manifest = readFileSync('examples/sleep/sleep.yaml', 'utf8')
        .replaceAll('name: sleep', 'name: sotw')
        .replaceAll('app: sleep', 'app: sotw')
        .replace('serviceAccountName: sleep', 'serviceAccountName: sotw')
        .replace(
          '        app: sotw\n    spec:',
          '        app: sotw\n      annotations:\n        proxy.istio.io/config: |\n          proxyMetadata:\n            ISTIO_DELTA_XDS: "false"\n    spec:',
        );
      assert.match(manifest, /ISTIO_DELTA_XDS/);
      await succeed(['apply', '-n', 'app1', '-f', '-'], manifest);
      await eventually(async () => {
        const status = JSON.parse(await succeed(['proxy-status', '-o', 'json'])) as readonly {
          readonly proxy: string;
          readonly protocol: string;
          readonly types: Readonly<Record<string, { readonly status: string }>>;
        }[];
        const own = status.find(({ proxy }) => proxy.startsWith('sotw-'));
        assert.equal(own?.protocol, 'sotw');
        for (const type of ['cds', 'lds', 'eds', 'rds']) assert.equal(own.types[type]?.status, 'SYNCED');
      }, 20_000);
      const answers = await succeed([
        'exec',
        '-n',
        'app1',
        'deploy/sotw',
        '-c',
        'sotw',
        '--',
        'sh',
        '-c',
        'for i in $(seq 20); do curl -s -m 5 helloworld.app1:5000/hello; done',
      ]);
      assert.equal(answers.match(/Hello version: v[12]/g)?.length, 20, answers);
      await assertAccepted('sotw', 'cluster1');
      await succeed(['delete', '-n', 'app1', '-f', '-'], manifest);
    });

    const inSleep = ['exec', '-n', 'app1', 'deploy/sleep', '--'];
    if (plane.sandbox === 'loopback') {
      // Left out by name: what needs capture. Applications are told of their proxy instead.
      test('an application is told of its proxy, since nothing is captured', async () => {
        assert.match(
          await succeed([...inSleep, 'sh', '-c', 'echo $http_proxy']),
          /^http:\/\/127\.\d+\.\d+\.\d+:\d+\n$/,
        );
      });
    } else {
      test('an application that knows of no proxy is captured on both sides', async () => {
        assert.equal((await succeed([...inSleep, 'sh', '-c', 'echo $http_proxy$HOST'])).trim(), '');
        const headers = await succeed([...inSleep, 'curl', '-s', '-m', '5', 'helloworld.app1:5000/headers']);
        assert.match(headers, /URI=spiffe:\/\/cluster\.local\/ns\/app1\/sa\/sleep/);
      });
    }

    if (plane.sandbox === 'loopback') addLoopbackTests(() => mesh);

    test('remote-clusters shows both clusters in sync', async () => {
      const rows = (await succeed(['remote-clusters'])).trim().split('\n').slice(1);
      assert.deepEqual(rows.map((row) => row.split(/\s{2,}/)[0]).sort(), ['cluster1', 'cluster2']);
      for (const row of rows) assert.match(row, /\ssynced\s/);
    });
  });
}
