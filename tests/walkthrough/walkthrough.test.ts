import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { findPeer } from '@meltemi/testing';
import { countVersions, startWalkthrough, type Walkthrough } from './environment-harness.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);
const noSandbox = probe.ok ? false : `network namespaces are not to be had: ${probe.reason}; ${probe.remedy}`;

interface DataPlane {
  readonly name: string;
  readonly proxyBinary?: string;
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
];

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
      mesh = await startWalkthrough(plane.proxyBinary === undefined ? {} : { proxyBinary: plane.proxyBinary });
    });
    after(async () => {
      await mesh?.[Symbol.asyncDispose]();
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

    test('remote-clusters shows both clusters in sync', async () => {
      const rows = (await succeed(['remote-clusters'])).trim().split('\n').slice(1);
      assert.deepEqual(rows.map((row) => row.split(/\s{2,}/)[0]).sort(), ['cluster1', 'cluster2']);
      for (const row of rows) assert.match(row, /\ssynced\s/);
    });
  });
}
