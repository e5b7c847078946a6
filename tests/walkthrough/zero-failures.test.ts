import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually, findPeer } from '@meltemi/testing';
import { startWalkthrough, type Walkthrough } from './environment-harness.ts';
import { helloworldV1, loadSteps } from './load/load-steps.ts';
import { failuresOf, RecordedLoad, versionsOf, withLoadImage } from './load/recorded-load.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);
const noSandbox = probe.ok ? false : `network namespaces are not to be had: ${probe.reason}; ${probe.remedy}`;
const envoy = findPeer('envoy');
const dataPlanes: readonly {
  readonly name: string;
  readonly proxyBinary?: string;
  readonly missing: string | false;
}[] = [
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

for (const plane of dataPlanes) {
  describe(`Under load, with ${plane.name} as every sidecar`, { skip: plane.missing }, () => {
    let mesh: Walkthrough;
    let load: RecordedLoad;
    before(async () => {
      mesh = await startWalkthrough({
        // What the environment's own file lists is not ours to change: v1 is applied by hand.
        edit: (text) => withLoadImage(text).replace(/^.*selector: version=v1 .*\n/m, ''),
        ...(plane.proxyBinary === undefined ? {} : { proxyBinary: plane.proxyBinary }),
      });
      await succeed(['apply', '-n', 'app1', '-f', '-'], helloworldV1());
      await rolledOut('helloworld-v1');
      load = await RecordedLoad.start(mesh);
    });
    after(async () => {
      await mesh?.[Symbol.asyncDispose]();
    });

    const { succeed, underLoad, kill, bothVersionsAnswer, rolledOut } = loadSteps(
      () => mesh,
      () => load,
    );
    const allInSync = async (count: number): Promise<void> => {
      await eventually(
        async () => {
          const rows = (await succeed(['proxy-status'])).trim().split('\n').slice(1);
          assert.equal(rows.length, count, rows.join('\n'));
          for (const row of rows) assert.match(row, /SYNCED\s+SYNCED\s+SYNCED\s+SYNCED/);
        },
        30_000,
        500,
      );
    };
    const serialNumber = async (): Promise<string> => {
      const request = ['exec', '-n', 'app1', 'deploy/load', '-c', 'istio-proxy', '--'];
      const dump = await succeed([...request, 'pilot-agent', 'request', 'GET', '/certs']);
      const { certificates } = JSON.parse(dump) as {
        readonly certificates: readonly { readonly cert_chain?: readonly { readonly serial_number: string }[] }[];
      };
      return certificates.map(({ cert_chain }) => cert_chain?.[0]?.serial_number ?? '').join();
    };
    const serialNumbers = new Set<string>();
    afterEach(async () => {
      serialNumbers.add(await serialNumber());
    });

    test('apply of VirtualService and DestinationRule fails nothing, and nothing sent afterwards is answered by v1', async () => {
      let appliedMs = 0;
      const answers = await underLoad(async () => {
        await succeed(['apply', '-n', 'app1', ...HELLOWORLD_FILES]);
        appliedMs = Date.now();
      });
      const later = versionsOf(answers.filter(({ sentMs }) => sentMs > appliedMs));
      assert.deepEqual(Object.keys(later), ['v2']);
    });

    test('delete of both fails nothing, and both versions answer again', async () => {
      await underLoad(() => succeed(['delete', '-n', 'app1', ...HELLOWORLD_FILES]));
      await bothVersionsAnswer();
    });

    test('a VirtualService applied on its own, before its DestinationRule, fails nothing', async () => {
      const [virtualService, destinationRule] = [HELLOWORLD_FILES.slice(0, 2), HELLOWORLD_FILES.slice(2)];
      const routeToV2 = async (): Promise<void> => {
        await eventually(() => assert.deepEqual(Object.keys(versionsOf(load.since(Date.now() - 500))), ['v2']), 10_000);
      };
      await underLoad(async () => {
        const early = await mesh.meltemi(['apply', '-n', 'app1', ...virtualService]);
        assert.match(early.stderr, /subset/);
        await succeed(['apply', '-n', 'app1', ...destinationRule]);
        await routeToV2();
        await succeed(['delete', '-n', 'app1', ...virtualService]);
        await succeed(['delete', '-n', 'app1', ...destinationRule]);
      });
      await bothVersionsAnswer();
    });

    test('the control plane is killed and comes back: nothing fails', async () => {
      await underLoad(async () => {
        await kill('control-plane/src/main.ts');
        await allInSync(5);
      });
      const applied = await underLoad(() => succeed(['apply', '-n', 'app1', ...HELLOWORLD_FILES]));
      assert.ok((versionsOf(applied.slice(-200))['v1'] ?? 0) === 0, 'changes reach the sidecars again');
      await succeed(['delete', '-n', 'app1', ...HELLOWORLD_FILES]);
    });

    test("the control plane's pod is replaced by one with another address: nothing fails, also the other cluster follows", async () => {
      const controlPlane = async (): Promise<{ readonly name: string; readonly address: string }> => {
        const list = JSON.parse(
          await succeed(['get', 'pods', '-n', 'istio-system', '-l', 'app=istiod', '-o', 'json']),
        ) as { readonly items: readonly { metadata: { name: string }; status?: { podIP?: string } }[] };
        const [pod, ...others] = list.items;
        assert.ok(pod?.status?.podIP !== undefined && others.length === 0, `${list.items.length} pods`);
        return { name: pod.metadata.name, address: pod.status.podIP };
      };
      const before = await controlPlane();
      await underLoad(async () => {
        await mesh.meltemi(['delete', 'pod', before.name, '-n', 'istio-system', '--wait', 'false']);
        await eventually(async () => assert.notEqual((await controlPlane()).address, before.address), 40_000, 500);
        await allInSync(5);
      });
    });

    test('the API servers are killed and come back: nothing fails', async () => {
      await underLoad(async () => {
        await kill('api-server/main.ts', 'cluster1');
        await kill('api-server/main.ts', 'cluster2');
        await eventually(async () => {
          assert.equal((await mesh.meltemi(['get', 'pods', '-n', 'app1'])).code, 0);
          assert.equal((await mesh.meltemi(['get', 'pods', '-n', 'app1', '--cluster', 'cluster2'])).code, 0);
        }, 20_000);
      });
      await bothVersionsAnswer();
    });

    test('a cluster is detached and attached: nothing fails', async () => {
      const name = (await succeed(['get', 'secret', '-n', 'istio-system', '-l', 'istio/multiCluster=true']))
        .trim()
        .split('\n')[1]
        ?.split(/\s+/)[0] as string;
      const { apiVersion, kind, type, data, metadata } = JSON.parse(
        await succeed(['get', 'secret', name, '-n', 'istio-system', '-o', 'json']),
      ) as { readonly [field: string]: object } & { readonly metadata: { readonly labels: object } };
      const secret = JSON.stringify({ apiVersion, kind, type, data, metadata: { name, labels: metadata.labels } });
      await underLoad(async () => {
        await succeed(['delete', 'secret', name, '-n', 'istio-system']);
        await eventually(() => {
          const { v1 = 0, v2 = 0 } = versionsOf(load.since(Date.now() - 1_000));
          assert.ok(v1 > 0 && v2 === 0, `v1 ${v1}, v2 ${v2}`);
        }, 20_000);
      });
      await underLoad(async () => {
        await succeed(['apply', '-n', 'istio-system', '-f', '-'], secret);
        await bothVersionsAnswer();
      });
    });

    test('a rolling update from v1 to v1b fails nothing', async () => {
      const answers = await underLoad(async () => {
        await succeed(['apply', '-n', 'app1', '-f', '-'], helloworldV1('v1b'));
        await rolledOut('helloworld-v1');
      });
      assert.deepEqual(Object.keys(versionsOf(answers.slice(-200))).sort(), ['v1b', 'v2']);
    });

    test('scaling from 1 to 3 and back to 1 fails nothing', async () => {
      const scaled = async (replicas: number): Promise<void> => {
        await succeed(['apply', '-n', 'app1', '-f', '-'], helloworldV1('v1b', replicas));
        await rolledOut('helloworld-v1');
      };
      await underLoad(() => scaled(3));
      await underLoad(() => scaled(1));
    });

    test('all the while certificates were renewed, three times and more, and neither a request nor the open download was cut', () => {
      assert.ok(serialNumbers.size > 3, `${serialNumbers.size - 1} renewals were seen`);
      assert.deepEqual(failuresOf(load.since(0)), [], 'the download has been open since the first test');
    });
  });
}
