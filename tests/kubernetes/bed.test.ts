import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually } from '@meltemi/testing';
import { processesOf, readHostState } from '../walkthrough/host-state.ts';
import { type BedProcess, startBed } from './bed-process.ts';
import { missingForBed } from './kubernetes-bed.ts';

const START_LIMIT_MS = 60_000;
/** Much shorter than the 600 s that a token lives here, so that the test sees a replacement. */
const TOKEN_MAX_AGE_S = 4;

/** A program that says what it was told, serves it, and ends when it is asked to. */
const SERVER = `const { createServer } = require('node:http');
console.log('greeting', process.env.GREETING);
createServer((_, answer) => answer.end(process.env.GREETING)).listen(8080);
process.on('SIGTERM', () => process.exit(0));`;

function deployment(greeting: string): string {
  const probe = { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 };
  const token = { serviceAccountToken: { path: 'token', audience: 'vault', expirationSeconds: 600 } };
  return JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', labels: { app: 'web' } },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: {
          terminationGracePeriodSeconds: 5,
          securityContext: { runAsUser: 4242, runAsGroup: 4243 },
          containers: [
            {
              name: 'web',
              image: 'test/node',
              args: ['-e', SERVER],
              env: [{ name: 'GREETING', value: greeting }],
              ports: [{ containerPort: 8080 }],
              readinessProbe: probe,
              volumeMounts: [
                { name: 'token', mountPath: '/var/run/secrets/vault' },
                { name: 'scratch', mountPath: '/scratch' },
              ],
            },
          ],
          volumes: [
            { name: 'token', projected: { sources: [token] } },
            { name: 'scratch', emptyDir: {} },
          ],
        },
      },
    },
  });
}

const SERVICE = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web' },
  spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
});

interface PodFacts {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly podIP: string;
    readonly containerStatuses: readonly { readonly restartCount: number; readonly containerID: string }[];
  };
}

function tokenClaims(token: string): { readonly aud: readonly string[]; readonly iat: number; readonly exp: number } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as ReturnType<typeof tokenClaims>;
}

describe('The bed: two real Kubernetes clusters', { skip: missingForBed('kubectl') }, () => {
  let files: string;
  let directory: string;
  let hostBefore: Awaited<ReturnType<typeof readHostState>>;
  let bed: BedProcess;

  before(async () => {
    files = mkdtempSync(join(tmpdir(), 'meltemi-bed-test-'));
    directory = join(files, 'bed');
    for (const name of ['bed', 'home', 'tmp']) mkdirSync(join(files, name));
    hostBefore = await readHostState();
    writeFileSync(
      join(directory, 'mesh.yaml'),
      `apiVersion: meltemi.dev/v1alpha1
kind: Environment
metadata: { name: bed-test }
root: .
images: [{ image: test/node, command: [node] }]
clusters:
  - { name: cluster1, podCIDR: 10.21.0.0/16, serviceCIDR: 10.121.0.0/16 }
  - { name: cluster2, podCIDR: 10.22.0.0/16, serviceCIDR: 10.122.0.0/16 }
`,
    );
    bed = await start();
  });
  after(async () => {
    await bed?.[Symbol.asyncDispose]();
    rmSync(files, { recursive: true, force: true });
  });

  const start = (): Promise<BedProcess> =>
    startBed({
      directory,
      flags: ['--token-max-age', `${TOKEN_MAX_AGE_S}s`],
      env: { HOME: join(files, 'home'), TMPDIR: join(files, 'tmp') },
    });
  const kubectl = async (args: readonly string[], input?: string, cluster = 'cluster1'): Promise<string> => {
    const result = await bed.kubectl(['--context', cluster, ...args], input);
    assert.equal(result.code, 0, `kubectl ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };
  const pods = async (): Promise<readonly PodFacts[]> => {
    const list = JSON.parse(await kubectl(['get', 'pods', '-l', 'app=web', '-o', 'json'])) as { items: PodFacts[] };
    return list.items;
  };
  const assertNothingLeft = async (): Promise<void> => {
    await eventually(() => assert.deepEqual(processesOf(directory), []), 5000);
    assert.deepEqual(await readHostState(), hostBefore);
    assert.deepEqual(readdirSync(directory).sort(), ['.meltemi', 'mesh.yaml']);
    assert.deepEqual(readdirSync(join(files, 'home')), []);
    assert.deepEqual(readdirSync(join(files, 'tmp')), []);
  };

  test('MC-43 two clusters come up in less than 60 s from nothing, each of real Kubernetes with a ready node', async () => {
    assert.ok(bed.startupMs < START_LIMIT_MS, `${Math.round(bed.startupMs)} ms`);
    for (const cluster of ['cluster1', 'cluster2']) {
      const version = JSON.parse(await kubectl(['version', '-o', 'json'], undefined, cluster)) as {
        readonly serverVersion: { readonly gitVersion: string };
      };
      assert.match(version.serverVersion.gitVersion, /^v1\.36\.\d+$/);
      await kubectl(['wait', '--for=condition=Ready', `node/${cluster}-node`, '--timeout=20s'], undefined, cluster);
      assert.equal(
        (await kubectl(['auth', 'whoami', '-o', 'jsonpath={.status.userInfo.groups[0]}'], undefined, cluster)).trim(),
        'system:masters',
      );
    }
  });

  test("a node's kubelet is held to its own pods by the Node authorizer and NodeRestriction", async () => {
    const asNode = ['--as', 'system:node:cluster1-node', '--as-group', 'system:nodes'];
    const may = async (...words: readonly string[]): Promise<string> => {
      const result = await bed.kubectl(['--context', 'cluster1', 'auth', 'can-i', ...words, ...asNode]);
      return result.stdout.trim();
    };
    assert.equal(await may('get', 'node/cluster1-node'), 'yes');
    assert.match(await may('list', 'secrets', '-n', 'kube-system'), /^no\b/);
    const taint = await bed.kubectl([
      '--context',
      'cluster1',
      ...asNode,
      'label',
      'node',
      'cluster1-node',
      'node-restriction.kubernetes.io/x=y',
    ]);
    assert.match(taint.stderr, /is not allowed to modify labels/);
  });

  test('MC-44 kubectl apply, get, logs, exec and rollout work', async () => {
    assert.match(await kubectl(['apply', '-f', '-'], deployment('one')), /deployment.apps\/web created/);
    await kubectl(['apply', '-f', '-'], SERVICE);
    assert.match(await kubectl(['rollout', 'status', 'deploy/web', '--timeout=60s']), /successfully rolled out/);
    assert.match(await kubectl(['get', 'pods', '-o', 'wide']), /web-\S+\s+1\/1\s+Running\s+0\s+\S+\s+10\.21\.\d+\.\d+/);
    assert.match(await kubectl(['logs', 'deploy/web']), /^greeting one$/m);
    const follow = bed.kubectl(['--context', 'cluster1', 'logs', '-f', '-l', 'app=web', '--prefix']);

    const [pod] = await pods();
    assert.ok(pod !== undefined);
    const inPod = ['exec', pod.metadata.name, '--', 'sh', '-c'];
    assert.equal(
      await kubectl([...inPod, 'id -u; id -g; touch /scratch/mine && echo written']),
      '4242\n4243\nwritten\n',
    );
    const failed = await bed.kubectl(['--context', 'cluster1', ...inPod, 'echo out; echo err >&2; exit 3']);
    assert.deepEqual([failed.code, failed.stdout], [3, 'out\n']);
    assert.match(failed.stderr, /^err\n/);
    const echoed = await kubectl(['exec', '-i', pod.metadata.name, '--', 'cat'], 'through standard input\n');
    assert.equal(echoed, 'through standard input\n');
    const byService = [...inPod, 'for i in 1 2 3 4; do curl -s -m 5 http://web/; echo; done'];
    assert.equal(await kubectl(byService), 'one\n'.repeat(4), 'by name, through the address of the Service');

    await kubectl(['apply', '-f', '-'], deployment('two'));
    await kubectl(['rollout', 'status', 'deploy/web', '--timeout=60s']);
    assert.match(await kubectl(['rollout', 'history', 'deploy/web']), /^1 .*\n2 /m);
    assert.match((await follow).stdout, /^\[pod\/web-\S+\/web\] greeting one$/m, 'ended with its pods');
    await kubectl(['rollout', 'undo', 'deploy/web']);
    await kubectl(['rollout', 'status', 'deploy/web', '--timeout=60s']);
    assert.match(await kubectl(['logs', 'deploy/web']), /^greeting one$/m);
    await kubectl(['scale', 'deploy/web', '--replicas=1']);
    await kubectl(['wait', '--for=jsonpath={.status.replicas}=1', 'deploy/web', '--timeout=30s']);
    await eventually(async () => assert.equal((await pods()).length, 1), 20_000, 200);
  });

  test('pods of one cluster reach those of the other by address, of the pod or of a balancer', async () => {
    const [pod] = await pods();
    const run = ['run', 'caller', '--image=test/node', '--restart=Never', '--', '-e', 'setInterval(() => {}, 1e6)'];
    await kubectl(run, undefined, 'cluster2');
    await kubectl(['wait', '--for=condition=Ready', 'pod/caller', '--timeout=30s'], undefined, 'cluster2');
    const call = ['exec', 'caller', '--', 'curl', '-s', '-m', '5', `http://${pod?.status.podIP}:8080/`];
    assert.equal(await kubectl(call, undefined, 'cluster2'), 'one');
    await kubectl([
      'expose',
      'deploy/web',
      '--name=balancer',
      '--type=LoadBalancer',
      '--port=80',
      '--target-port=8080',
    ]);
    const address = '{.status.loadBalancer.ingress[0].ip}';
    await kubectl(['wait', `--for=jsonpath=${address}`, 'svc/balancer', '--timeout=20s']);
    const balancer = await kubectl(['get', 'svc', 'balancer', '-o', `jsonpath=${address}`]);
    const byBalancer = ['exec', 'caller', '--', 'curl', '-s', '-m', '5', '--retry', '5', '--retry-all-errors'];
    assert.equal(await kubectl([...byBalancer, `http://${balancer}/`], undefined, 'cluster2'), 'one');
    await kubectl(['delete', 'pod', 'caller', '--now'], undefined, 'cluster2');
  });

  test('MC-46 a token is replaced long before it expires, and the new one is accepted', async () => {
    const [pod] = await pods();
    const read = (): Promise<string> =>
      kubectl(['exec', pod?.metadata.name ?? '', '--', 'cat', '/var/run/secrets/vault/token']);
    const first = await read();
    const second = await eventually(
      async () => {
        const token = await read();
        assert.notEqual(token, first);
        return token;
      },
      TOKEN_MAX_AGE_S * 1000 + 10_000,
      500,
    );
    const [before, now] = [tokenClaims(first), tokenClaims(second)];
    assert.deepEqual(now.aud, ['vault']);
    assert.ok(now.iat - before.iat >= TOKEN_MAX_AGE_S - 1 && now.iat < before.exp - 500, JSON.stringify([before, now]));
    const review = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token: second, audiences: ['vault'] },
    };
    const answer = await kubectl(['create', '-o', 'json', '-f', '-'], JSON.stringify(review));
    const { status } = JSON.parse(answer) as { status: { authenticated?: boolean; user: { username: string } } };
    assert.equal(status.authenticated, true);
    assert.equal(status.user.username, 'system:serviceaccount:default:default');
  });

  test('MC-46 a killed kubelet is back and finds the processes of its pods as they were', async () => {
    const kubelets = (): readonly number[] =>
      bed
        .processes()
        .filter(({ argv }) => argv[1]?.endsWith('kubelet/main.ts') === true && argv.includes('cluster1-node'))
        .map(({ pid }) => pid);
    const servers = (): readonly number[] =>
      bed
        .processes()
        .filter(({ argv }) => argv[2] === SERVER)
        .map(({ pid }) => pid)
        .toSorted();
    const [before] = await pods();
    const running = servers();
    const [kubelet] = kubelets();
    assert.ok(kubelet !== undefined && running.length === 1, `${running.length} servers`);
    process.kill(kubelet, 'SIGKILL');
    await eventually(() => kubelets().some((pid) => pid !== kubelet), 20_000);
    await eventually(
      async () => assert.equal(await kubectl(['exec', before?.metadata.name ?? '', '--', 'echo', 'here']), 'here\n'),
      20_000,
      200,
    );
    assert.deepEqual(servers(), running);
    const [now] = await pods();
    assert.deepEqual(now?.status.containerStatuses[0]?.restartCount, 0);
    assert.equal(now?.metadata.uid, before?.metadata.uid);
    assert.equal(now?.status.containerStatuses[0]?.containerID, before?.status.containerStatuses[0]?.containerID);
  });

  test('the API server and etcd are killed and come back with everything that was written', async () => {
    for (const program of ['kube-apiserver', 'etcd']) {
      const find = (): number | undefined =>
        bed.processes().find(({ argv }) => argv[0]?.includes(`/${program}-`) === true)?.pid;
      const pid = find();
      assert.ok(pid !== undefined, program);
      process.kill(pid, 'SIGKILL');
      await eventually(() => find() !== undefined && find() !== pid, 20_000);
    }
    for (const cluster of ['cluster1', 'cluster2'])
      await eventually(() => kubectl(['get', '--raw', '/readyz'], undefined, cluster), 30_000, 200);
    assert.match(await kubectl(['get', 'deploy', 'web']), /web\s+1\/1/);
  });

  test('MC-43 the bed leaves no process, interface, namespace, rule, mount or file behind on Ctrl-C', async () => {
    assert.ok(processesOf(directory).length > 10);
    bed.child.kill('SIGINT');
    const [code] = (await once(bed.child, 'exit')) as [number | null];
    assert.equal(code, 0, bed.output());
    assert.match(bed.output(), /stopped; nothing is left running\n$/);
    await assertNothingLeft();
  });

  test('MC-43 nor when its first process is killed; started again it has what it had', async () => {
    bed = await start();
    assert.match(await kubectl(['get', 'deploy', 'web']), /web\s/);
    await kubectl(['rollout', 'status', 'deploy/web', '--timeout=60s']);
    assert.equal((await pods()).length, 1);
    bed.child.kill('SIGKILL');
    await once(bed.child, 'exit');
    await assertNothingLeft();
    assert.match(readFileSync(join(directory, '.meltemi/logs/cluster1-etcd.log'), 'utf8'), /./);
  });
});
