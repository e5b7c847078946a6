import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually, findPeer } from '@meltemi/testing';
import { startWalkthrough, type Walkthrough } from '../walkthrough/environment-harness.ts';
import { addGatewayTest } from '../walkthrough/gateway-checks.ts';
import { helloworldV1, loadSteps } from '../walkthrough/load/load-steps.ts';
import { RecordedLoad, versionsOf, withLoadImage } from '../walkthrough/load/recorded-load.ts';
import { addWalkthroughTests, assertBothVersionsAnswer, assertSteering } from '../walkthrough/walkthrough-checks.ts';
import { missingForBed } from './kubernetes-bed.ts';

const envoy = findPeer('envoy');
/** For a change to reach the sidecars: kubectl returns as soon as it is stored. */
const KUBECTL_MS = 20_000;

const dataPlanes = [
  { name: "Meltemi's proxy", missing: missingForBed('kubectl') },
  { name: 'Envoy', proxyBinary: envoy, missing: missingForBed('kubectl', 'envoy') },
] as const;

interface PodFacts {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: { readonly initContainers?: readonly { readonly name: string }[] };
  readonly status: { readonly podIP: string; readonly conditions: readonly { type: string; status: string }[] };
}

for (const plane of dataPlanes) {
  describe(`The walkthrough on real Kubernetes with ${plane.name} as every sidecar`, { skip: plane.missing }, () => {
    let mesh: Walkthrough;
    let load: RecordedLoad;
    const proxyBinary = 'proxyBinary' in plane ? plane.proxyBinary : undefined;
    before(async () => {
      mesh = await startWalkthrough({
        environment: 'kubernetes',
        edit: withLoadImage,
        ...(proxyBinary === undefined ? {} : { proxyBinary }),
      });
    });
    after(async () => {
      await mesh?.[Symbol.asyncDispose]();
    });
    const { succeed, underLoad, loadWasReplaced, kill, bothVersionsAnswer, rolledOut } = loadSteps(
      () => mesh,
      () => load,
    );

    test('MC-17 both versions answer from sleep, 35 to 65 % each of 200', () => assertBothVersionsAnswer(mesh));

    test('MC-18 after apply of VirtualService and DestinationRule only v2 answers, after delete both again', () =>
      assertSteering(mesh, KUBECTL_MS));

    addWalkthroughTests({ mesh: () => mesh });

    addGatewayTest(() => mesh);

    test('MC-45 an injected pod has its rules, token, probes, address and EndpointSlice, and a sidecar of user 1337', async () => {
      const list = await succeed(['get', 'pods', '-n', 'app1', '-l', 'app=helloworld', '-o', 'json']);
      const [pod, ...others] = (JSON.parse(list) as { readonly items: readonly PodFacts[] }).items;
      assert.ok(pod !== undefined && others.length === 0, list);
      const { podIP } = pod.status;
      assert.match(podIP, /^10\.11\.\d+\.\d+$/);
      for (const type of ['Initialized', 'ContainersReady', 'Ready'])
        assert.equal(pod.status.conditions.find((condition) => condition.type === type)?.status, 'True', type);

      const inPod = ['exec', '-n', 'app1', pod.metadata.name];
      const sidecar = [...inPod, '-c', 'istio-proxy', '--', 'sh', '-c'];
      assert.equal(await succeed([...sidecar, 'id -u; id -g']), '1337\n1337\n');
      assert.equal(await succeed([...inPod, '-c', 'helloworld', '--', 'id', '-u']), '0\n');
      const token = (await succeed([...sidecar, 'cat /var/run/secrets/tokens/istio-token'])).trim();
      const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
        readonly aud: readonly string[];
        readonly sub: string;
        readonly 'kubernetes.io': { readonly pod: { readonly uid: string }; readonly node: { readonly name: string } };
      };
      assert.deepEqual(claims.aud, ['istio-ca']);
      assert.match(claims.sub, /^system:serviceaccount:app1:/);
      assert.equal(claims['kubernetes.io'].pod.uid, pod.metadata.uid, 'bound to the pod');
      assert.equal(claims['kubernetes.io'].node.name, 'cluster1-node');

      const rules = await mesh.outside([
        'nsenter',
        `--net=/run/netns/pod-${pod.metadata.uid}`,
        'iptables-save',
        '-t',
        'nat',
      ]);
      assert.match(rules.stdout, /--uid-owner 1337 /, rules.stderr);
      assert.match(rules.stdout, /REDIRECT --to-ports 15006/);
      assert.doesNotMatch(rules.stdout, /--mark/);

      const slices = await succeed([
        'get',
        'endpointslices',
        '-n',
        'app1',
        '-l',
        'kubernetes.io/service-name=helloworld',
        '-o',
        'json',
      ]);
      const endpoints = (
        JSON.parse(slices) as {
          readonly items: readonly { endpoints: readonly { addresses: string[]; conditions: { ready: boolean } }[] }[];
        }
      ).items.flatMap((slice) => slice.endpoints);
      assert.deepEqual(
        endpoints.map(({ addresses, conditions }) => [addresses[0], conditions.ready]),
        [[podIP, true]],
      );
    });

    test('under load, a rolling update of helloworld fails nothing', async () => {
      load = await RecordedLoad.start(mesh);
      const answers = await underLoad(async () => {
        await succeed(['apply', '-n', 'app1', '-f', '-'], helloworldV1('v1b'));
        await rolledOut('helloworld-v1');
      });
      assert.deepEqual(Object.keys(versionsOf(answers.slice(-200))).sort(), ['v1b', 'v2']);
    });

    test('MC-19 under load, scaling to zero shifts all to the other cluster, and back, and fails nothing', async () => {
      const scaled = async (replicas: number): Promise<void> => {
        await succeed(['apply', '-n', 'app1', '-f', '-'], helloworldV1(undefined, replicas));
        await rolledOut('helloworld-v1');
      };
      const away = await underLoad(() => scaled(0));
      assert.deepEqual(Object.keys(versionsOf(away.slice(-200))), ['v2']);
      await underLoad(() => scaled(1));
      await bothVersionsAnswer();
    });

    /** Changes reach the sidecars; kubectl does not wait for them. */
    const steers = async (): Promise<void> => {
      const files = ['virtualservice', 'destinationrule'].flatMap((name) => ['-f', `examples/helloworld/${name}.yaml`]);
      await succeed(['apply', '-n', 'app1', ...files]);
      await eventually(() => {
        assert.deepEqual(Object.keys(versionsOf(load.since(Date.now() - 1_000))), ['v2']);
      }, 20_000);
      await succeed(['delete', '-n', 'app1', ...files]);
      await bothVersionsAnswer();
    };

    test('under load, killed kubelets fail nothing and keep their pods', async () => {
      const before = mesh.processes().filter(({ argv }) => argv[1]?.endsWith('helloworld/server.ts') === true);
      await underLoad(async () => {
        await kill('kubelet/main.ts', 'cluster1-node');
        await kill('kubelet/main.ts', 'cluster2-node');
        for (const cluster of ['cluster1', 'cluster2'])
          await eventually(
            () =>
              succeed([
                'exec',
                '-n',
                'app1',
                '--cluster',
                cluster,
                'deploy/' + (cluster === 'cluster1' ? 'helloworld-v1' : 'helloworld-v2'),
                '--',
                'true',
              ]),
            20_000,
            300,
          );
      });
      const now = mesh.processes().filter(({ argv }) => argv[1]?.endsWith('helloworld/server.ts') === true);
      assert.deepEqual(now.map(({ pid }) => pid).sort(), before.map(({ pid }) => pid).sort());
    });

    test('under load, API servers that are killed and come back fail nothing', async () => {
      await underLoad(async () => {
        await kill('kube-apiserver', '--bind-address=10.11.0.1');
        await kill('kube-apiserver', '--bind-address=10.12.0.1');
        for (const cluster of ['cluster1', 'cluster2'])
          await eventually(() => succeed(['get', 'pods', '-n', 'app1', '--cluster', cluster]), 30_000, 300);
      });
      await bothVersionsAnswer();
      await steers();
    });

    test('MC-01 MC-05 MC-15 under load, a remote cluster gets a wrong token and a new one, is detached and attached again, and fails nothing', async () => {
      const secret = 'istio-remote-secret-cluster2';
      const inSystem = ['-n', 'istio-system'];
      const attach = async (token?: string): Promise<string> => {
        const remote = ['--cluster', 'cluster2', '--name', 'cluster2', '--server', 'https://10.12.0.1:6443'];
        const { code, stdout, stderr } = await mesh.meltemi(['create-remote-secret', ...remote]);
        assert.equal(code, 0, stderr);
        const text = token === undefined ? stdout : stdout.replace(/token: .*/, `token: ${token}`);
        assert.ok(token === undefined || text !== stdout);
        return await succeed(['apply', ...inSystem, '-f', '-'], text);
      };
      const isListed = async (row: RegExp): Promise<void> => {
        await eventually(async () => assert.match(await succeed(['remote-clusters']), row), 20_000, 300);
      };
      const synced = /^cluster2 +istio-system\/istio-remote-secret-cluster2 +synced /m;
      await underLoad(async () => {
        assert.match(await attach('wrong'), /configured/);
        await isListed(/^cluster2 .* updating /m);
        const reader = ['istio-reader-service-account', ...inSystem, '--context', 'cluster2'];
        const { code, stdout, stderr } = await mesh.kubectl(['create', 'token', ...reader]);
        assert.equal(code, 0, stderr);
        await attach(stdout.trim());
        await isListed(synced);
      });
      await underLoad(async () => {
        await succeed(['delete', 'secret', ...inSystem, secret]);
        await eventually(() => {
          assert.deepEqual(Object.keys(versionsOf(load.since(Date.now() - 1_000))), ['v1']);
        }, 5_000 + 1_000);
        const broken = {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: secret, labels: { 'istio/multiCluster': 'true' } },
        };
        await succeed(
          ['apply', ...inSystem, '-f', '-'],
          JSON.stringify({ ...broken, stringData: { cluster2: 'no kubeconfig' } }),
        );
        await eventually(
          async () => {
            const events = await succeed([
              'get',
              'events',
              ...inSystem,
              '--field-selector',
              `involvedObject.name=${secret}`,
            ]);
            assert.match(events, / Warning .*cluster2/);
          },
          20_000,
          300,
        );
      });
      await underLoad(async () => {
        await attach();
        await isListed(synced);
        await bothVersionsAnswer();
      });
    });

    test('a Job in the mesh ends when its application has ended', async () => {
      const container = {
        name: 'ask',
        image: 'meltemi/sleep',
        command: ['curl', '-fsS', 'helloworld.app1:5000/hello'],
      };
      const job = {
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name: 'ask' },
        spec: { backoffLimit: 0, template: { spec: { restartPolicy: 'Never', containers: [container] } } },
      };
      await succeed(['apply', '-n', 'app1', '-f', '-'], JSON.stringify(job));
      const done = await mesh.kubectl(['wait', '-n', 'app1', '--for=condition=Complete', 'job/ask', '--timeout=60s']);
      assert.equal(done.code, 0, done.stderr);
      const { items } = JSON.parse(
        await succeed(['get', 'pods', '-n', 'app1', '-l', 'job-name=ask', '-o', 'json']),
      ) as {
        readonly items: readonly (PodFacts & { readonly status: { readonly phase: string } })[];
      };
      assert.deepEqual(
        items.map(({ spec, status }) => [
          spec.initContainers?.some(({ name }) => name === 'istio-proxy'),
          status.phase,
        ]),
        [[true, 'Succeeded']],
      );
      assert.match(await succeed(['logs', '-n', 'app1', 'job/ask', '-c', 'ask']), /^Hello version: v[12]/);
      await succeed(['delete', '-n', 'app1', 'job', 'ask']);
    });

    test('under load, an upgrade of the control plane by revision fails nothing', async () => {
      const kubectl = async (...args: readonly string[]): Promise<string> => {
        const result = await mesh.kubectl(args);
        assert.equal(result.code, 0, `kubectl ${args.join(' ')}: ${result.stderr}`);
        return result.stdout;
      };
      const meltemi = async (cluster: string, args: readonly string[], input = ''): Promise<void> => {
        const result = await mesh.meltemi([...args, '--cluster', cluster], input);
        assert.equal(result.code, 0, `meltemi ${args.join(' ')} in ${cluster}: ${result.stderr}${result.stdout}`);
      };
      const restart = async (cluster: string, deployment: string): Promise<void> => {
        const target = ['-n', 'app1', `deploy/${deployment}`, '--context', cluster];
        await kubectl('rollout', 'restart', ...target);
        await kubectl('rollout', 'status', '--timeout=90s', ...target);
      };
      const image = 'meltemi/agent';
      const spec = (clusterName: string) => ({
        revision: 'canary',
        ...(clusterName === 'cluster1' ? {} : { profile: 'remote' }),
        values: {
          pilot: { image: 'meltemi/control-plane', autoscaleEnabled: false },
          meshConfig: {
            accessLogFile: '/dev/stdout',
            defaultConfig: proxyBinary === undefined ? {} : { binaryPath: proxyBinary },
          },
          global: { multiCluster: { clusterName }, proxy: { image }, proxy_init: { image } },
        },
      });
      await underLoad(async () => {
        for (const cluster of ['cluster1', 'cluster2']) {
          const operator = { apiVersion: 'install.istio.io/v1alpha1', kind: 'IstioOperator', spec: spec(cluster) };
          await meltemi(cluster, ['install', '-y', '-f', '-'], JSON.stringify(operator));
          await meltemi(cluster, ['tag', 'set', 'default', '--revision', 'canary']);
        }
        await restart('cluster1', 'helloworld-v1');
        await restart('cluster2', 'helloworld-v2');
      });
      // What sends the load would otherwise have lost its control plane.
      await restart('cluster1', 'load');
      loadWasReplaced();
      await restart('cluster1', 'sleep');
      await bothVersionsAnswer();
      // The old one was applied by kubectl, and so is taken away by it.
      const ofRevision = ['-n', 'istio-system', '-l', 'istio.io/rev=default', '--wait'];
      const kinds = 'deployments,services,configmaps,mutatingwebhookconfigurations,validatingwebhookconfigurations';
      await underLoad(async () => {
        for (const cluster of ['cluster2', 'cluster1'])
          await kubectl('delete', kinds, ...ofRevision, '--context', cluster);
      });
      const status = await succeed(['proxy-status']);
      const servers = status
        .trimEnd()
        .split('\n')
        .slice(1)
        .map((line) => line.trim().split(/\s+/).at(-1) ?? '');
      assert.ok(servers.length >= 4 && servers.every((name) => name.startsWith('istiod-canary-')), status);
      await steers();
    });
  });
}
