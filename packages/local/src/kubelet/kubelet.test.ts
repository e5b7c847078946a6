import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  CONFIG_MAPS,
  type Container,
  type ContainerStatus,
  createKubeClient,
  EVENTS,
  isNotFound,
  isPodReady,
  type KubeClient,
  NAMESPACES,
  PODS,
  type Pod,
  type PodSpec,
} from '@meltemi/kube';
import { eventually } from '@meltemi/kube/testing';
import { type RunningEnvironment, startEnvironment } from '../environment/environment.ts';
import { readMeshFile } from '../environment/mesh-file.ts';
import { probeNetns } from '../sandbox/probe.ts';

const uid = process.getuid?.() ?? -1;
const probe = probeNetns(uid, process.env);
const skip = probe.ok ? false : `no netns sandbox here: ${probe.step}: ${probe.reason}`;
const MESH_FILE = fileURLToPath(new URL('./testdata/mesh.yaml', import.meta.url));
const NAMESPACE = 'pods';
const NOBODY = 65534;

let directory = '';
let environment: RunningEnvironment;
let client: KubeClient;

async function start(): Promise<void> {
  environment = await startEnvironment({
    mesh: readMeshFile(MESH_FILE),
    directory,
    onProgress: () => {},
    onLost: (reason) => assert.fail(reason),
    nowMs: () => Date.now(),
    env: process.env,
    signal: new AbortController().signal,
  });
  client = createKubeClient({ access: environment.clusters[0]?.access ?? assert.fail('no cluster') });
}

async function stop(): Promise<void> {
  await client[Symbol.asyncDispose]();
  await environment[Symbol.asyncDispose]();
}

async function createPod(name: string, spec: PodSpec, labels: Record<string, string> = {}): Promise<void> {
  await client.create(PODS, { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: NAMESPACE, labels }, spec });
}

const get = (name: string): Promise<Pod> => client.get(PODS, { name, namespace: NAMESPACE });

/** Waits until a pod's container has a status that the check passes. */
function untilContainer(
  pod: string,
  container: string,
  check: (status: ContainerStatus) => boolean,
  withinMs = 10_000,
): Promise<ContainerStatus> {
  return eventually(async () => {
    const { status } = await get(pod);
    const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
    const found = all.find(({ name }) => name === container);
    assert.ok(found !== undefined && check(found), JSON.stringify(all));
    return found;
  }, withinMs);
}

function untilReady(name: string): Promise<Pod> {
  return eventually(async () => {
    const pod = await get(name);
    assert.ok(isPodReady(pod), JSON.stringify(pod.status));
    return pod;
  }, 10_000);
}

async function exec(
  pod: string,
  command: readonly string[],
  container?: string,
): Promise<{ code: number; out: string }> {
  const stdout = new PassThrough();
  const session = client.exec({ pod: { name: pod, namespace: NAMESPACE }, container, command, stdout, stderr: stdout });
  const code = await session.done;
  stdout.end();
  return { code, out: await text(stdout) };
}

async function logs(pod: string, options: Parameters<KubeClient['logs']>[1] = {}): Promise<string> {
  return text(await client.logs({ name: pod, namespace: NAMESPACE }, options));
}

async function remove(pod: string): Promise<void> {
  await client.delete(PODS, { name: pod, namespace: NAMESPACE });
  await eventually(() =>
    get(pod).then(
      () => false,
      (error: unknown) => isNotFound(error) || assert.fail(String(error)),
    ),
  );
}

async function eventReasons(pod: string): Promise<readonly (string | undefined)[]> {
  const { items } = await client.list(EVENTS, { namespace: NAMESPACE, fieldSelector: `involvedObject.name=${pod}` });
  return items.map(({ reason }) => reason);
}

/** The processes of this environment whose command line holds a text, as the host sees them. */
function findProcesses(part: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const line = readFileSync(`/proc/${name}/cmdline`, 'utf8');
        return line.includes(part) && line.includes(directory);
      } catch {
        return false;
      }
    })
    .map(Number);
}

const shell = (name: string, script: string, more: Partial<Container> = {}): Container => ({
  name,
  image: 'test/sleep',
  command: ['sh', '-c', script],
  ...more,
});

suite('kubelet', { skip }, () => {
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'meltemi-kubelet-'));
    await start();
    await client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
  });
  after(async () => {
    await stop();
    rmSync(directory, { recursive: true, force: true });
  });

  test('MC-45 A pod runs its init container, then serves with its environment, volumes and token', async () => {
    await client.create(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'settings', namespace: NAMESPACE },
      data: { greeting: 'good morning', 'app.conf': 'a=1' },
    });
    await createPod(
      'web',
      {
        initContainers: [
          shell('prepare', 'echo prepared > /var/lib/web/state', {
            volumeMounts: [{ name: 'state', mountPath: '/var/lib/web' }],
          }),
        ],
        containers: [
          {
            name: 'web',
            image: 'test/server:1',
            ports: [{ name: 'http', containerPort: 80 }],
            readinessProbe: { httpGet: { path: '/', port: 'http' } },
            env: [
              { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
              { name: 'GREETING', valueFrom: { configMapKeyRef: { name: 'settings', key: 'greeting' } } },
              { name: 'BOTH', value: '$(GREETING), $(POD); $$(POD) $(UNKNOWN)' },
            ],
            volumeMounts: [
              { name: 'state', mountPath: '/var/lib/web' },
              { name: 'settings', mountPath: '/etc/web/settings' },
              { name: 'settings', mountPath: '/top.conf', subPath: 'app.conf' },
              { name: 'tokens', mountPath: '/var/run/secrets/tokens' },
              { name: 'info', mountPath: '/etc/istio/pod' },
            ],
          },
        ],
        volumes: [
          { name: 'state', emptyDir: {} },
          { name: 'settings', configMap: { name: 'settings' } },
          { name: 'info', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
          {
            name: 'tokens',
            projected: { sources: [{ serviceAccountToken: { audience: 'istio-ca', path: 'istio-token' } }] },
          },
        ],
      },
      { app: 'web' },
    );
    const pod = await untilReady('web');
    assert.equal(pod.status?.phase, 'Running');
    assert.match(pod.status?.podIP ?? '', /^10\.11\.1\.\d+$/);
    const script = `cat /var/lib/web/state /etc/web/settings/app.conf /top.conf; echo; echo "$BOTH"; hostname;
      cat /etc/istio/pod/labels; echo; cut -d. -f2 /var/run/secrets/tokens/istio-token | tr -d '\\n' | base64 -d 2>/dev/null | grep -o '"istio-ca"'; exit 7`;
    assert.deepEqual(await exec('web', ['sh', '-c', script]), {
      code: 7,
      out: 'prepared\na=1a=1\ngood morning, web; $(POD) $(UNKNOWN)\nweb\napp="web"\n"istio-ca"\n',
    });
    await eventually(async () => assert.equal(await logs('web', { container: 'web' }), 'serving good morning\n'));
    assert.ok((await eventReasons('web')).includes('Started'));
  });

  test('A volume follows its ConfigMap', async () => {
    const patch = { type: 'merge', body: { data: { 'app.conf': 'a=2' } } } as const;
    await client.patch(CONFIG_MAPS, { name: 'settings', namespace: NAMESPACE }, patch);
    await eventually(async () => {
      assert.equal((await exec('web', ['cat', '/etc/web/settings/app.conf'])).out, 'a=2');
    });
  });

  test('The port for logs and exec refuses whoever is not the API server', async () => {
    const script = `fetch('https://10.11.0.1:10250/containerLogs/${NAMESPACE}/web/web')
      .then((answer) => console.log('served', answer.status), (error) => console.log('refused', error.cause.code))`;
    const { out } = await exec('web', ['env', 'NODE_TLS_REJECT_UNAUTHORIZED=0', 'node', '--no-warnings', '-e', script]);
    assert.match(out, /^refused /);
  });

  test('An image that the map does not have is ErrImagePull, with a message that names it', async () => {
    await createPod('unknown-image', { containers: [{ name: 'app', image: 'test/servr' }] });
    const { state } = await untilContainer(
      'unknown-image',
      'app',
      (status) => status.state?.waiting?.reason === 'ErrImagePull',
    );
    assert.match(state?.waiting?.message ?? '', /"test\/servr".*mesh\.yaml; did you mean test\/server\*\?/);
    await remove('unknown-image');
  });

  test('A container waits for a missing ConfigMap and starts when it appears', async () => {
    const env = [{ name: 'GREETING', valueFrom: { configMapKeyRef: { name: 'late', key: 'greeting' } } }];
    await createPod('waits', { containers: [{ name: 'app', image: 'test/server', env }] });
    await untilContainer('waits', 'app', ({ state }) => state?.waiting?.reason === 'CreateContainerConfigError');
    await client.create(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'late', namespace: NAMESPACE },
      data: { greeting: 'at last' },
    });
    await untilReady('waits');
    await eventually(async () => assert.equal(await logs('waits'), 'serving at last\n'));
    await remove('waits');
  });

  test('A container that keeps failing backs off, and its last log can be read', async () => {
    await createPod('crashes', { containers: [shell('app', 'echo attempt; exit 3')] });
    const status = await untilContainer(
      'crashes',
      'app',
      ({ state, restartCount }) => state?.waiting?.reason === 'CrashLoopBackOff' && restartCount >= 1,
    );
    assert.equal(status.lastState?.terminated?.exitCode, 3);
    assert.equal(await logs('crashes', { previous: true }), 'attempt\n');
    assert.ok((await eventReasons('crashes')).includes('BackOff'));
    await remove('crashes');
  });

  test('Pods that run to their end succeed or fail by their exit codes', async () => {
    await createPod('good', { restartPolicy: 'Never', containers: [shell('app', 'exit 0')] });
    await createPod('bad', { restartPolicy: 'Never', containers: [shell('app', 'exit 4')] });
    await eventually(async () => assert.equal((await get('good')).status?.phase, 'Succeeded'));
    await eventually(async () => assert.equal((await get('bad')).status?.phase, 'Failed'));
    await remove('good');
    await remove('bad');
  });

  test('A sidecar is started before the app and ends after it', async () => {
    const volumeMounts = [{ name: 'shared', mountPath: '/shared' }];
    const note = (who: string): string =>
      `trap 'echo ${who} >> /shared/order; exit 0' TERM; touch /shared/${who}; while :; do sleep 0.05; done`;
    await createPod('ordered', {
      initContainers: [
        shell('sidecar', `sleep 0.3; ${note('sidecar')}`, {
          restartPolicy: 'Always',
          startupProbe: { exec: { command: ['test', '-e', '/shared/sidecar'] }, periodSeconds: 1 },
          volumeMounts,
          lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo drain >> /shared/order'] } } },
        }),
      ],
      containers: [
        shell('app', `test -e /shared/sidecar && echo sidecar is there; ${note('app')}`, {
          volumeMounts,
          lifecycle: { preStop: { exec: { command: ['sh', '-c', 'sleep 0.5; echo preStop >> /shared/order'] } } },
        }),
      ],
      volumes: [{ name: 'shared', hostPath: { path: '/ordered' } }],
    });
    await untilReady('ordered');
    await eventually(async () => assert.equal(await logs('ordered', { container: 'app' }), 'sidecar is there\n'));
    await remove('ordered');
    const order = readFileSync(join(directory, '.meltemi/clusters/c1/host/ordered/order'), 'utf8');
    // The hooks run at once; the signals come in order.
    assert.equal(order, 'drain\npreStop\napp\nsidecar\n');
  });

  test('A hook that comes right after the start runs inside the container', async () => {
    const postStart = { exec: { command: ['sh', '-c', 'hostname > /shared/hook; ip -o -4 addr >> /shared/hook'] } };
    const volumeMounts = [{ name: 'shared', mountPath: '/shared' }];
    await createPod('hooked', {
      containers: [
        shell('app', "trap 'exit 0' TERM; while :; do sleep 0.05; done", { lifecycle: { postStart }, volumeMounts }),
      ],
      volumes: [{ name: 'shared', hostPath: { path: '/hooked' } }],
    });
    await untilReady('hooked');
    const seen = readFileSync(join(directory, '.meltemi/clusters/c1/host/hooked/hook'), 'utf8');
    assert.match(seen, new RegExp(`^hooked\\n[^]*${(await get('hooked')).status?.podIP}/`));
    await remove('hooked');
  });

  test('A pod whose work is done succeeds, though its sidecar would run for ever', async () => {
    const volumeMounts = [{ name: 'shared', mountPath: '/shared' }];
    // The app begins when the sidecar listens for its end: a shell that is asked to end before that ends with 143.
    const initContainers = [
      shell('sidecar', "trap 'exit 0' TERM; touch /shared/listens; while :; do sleep 0.05; done", {
        restartPolicy: 'Always',
        startupProbe: { exec: { command: ['test', '-f', '/shared/listens'] }, periodSeconds: 1, failureThreshold: 30 },
        volumeMounts,
      }),
    ];
    const volumes = [{ name: 'shared', emptyDir: {} }];
    await createPod('job', { restartPolicy: 'Never', initContainers, containers: [shell('app', 'exit 0')], volumes });
    await eventually(async () => {
      const { phase, initContainerStatuses } = (await get('job')).status ?? {};
      assert.equal(phase, 'Succeeded');
      assert.equal(initContainerStatuses?.[0]?.state?.terminated?.exitCode, 0);
    });
    await remove('job');
  });

  test('A container that ignores SIGTERM is killed when its grace is over, with all that it started', async () => {
    const script = `trap '' TERM; (setsid sh -c 'trap "" TERM; echo started ${directory}; sleep 3600' &) ; while :; do sleep 0.1; done`;
    await createPod('stubborn', { terminationGracePeriodSeconds: 1, containers: [shell('app', script)] });
    await eventually(async () => assert.match(await logs('stubborn'), /^started/));
    const startedMs = performance.now();
    await remove('stubborn');
    assert.ok(performance.now() - startedMs >= 900);
    assert.deepEqual(findProcesses('trap'), []);
  });

  test('A container whose liveness probe fails is restarted', async () => {
    const livenessProbe = {
      httpGet: { path: '/', port: 80 },
      initialDelaySeconds: 1,
      periodSeconds: 1,
      failureThreshold: 1,
    };
    const readinessProbe = { tcpSocket: { port: 80 } };
    await createPod('lively', { containers: [{ name: 'app', image: 'test/server', livenessProbe, readinessProbe }] });
    await untilReady('lively');
    assert.equal((await exec('lively', ['node', '-e', "fetch('http://127.0.0.1/break')"])).code, 0);
    const status = await untilContainer(
      'lively',
      'app',
      ({ restartCount, state }) => restartCount === 1 && state?.running !== undefined,
    );
    assert.equal(status.lastState?.terminated?.exitCode, 0);
    await remove('lively');
  });

  test('A restarted kubelet adopts running containers and cleans up after pods deleted meanwhile', async () => {
    const before = (await get('web')).status?.containerStatuses?.[0];
    await createPod('deleted-meanwhile', { containers: [{ name: 'app', image: 'test/sleep' }] });
    await untilReady('deleted-meanwhile');
    for (const pid of findProcesses('kubelet/main.ts')) process.kill(pid, 'SIGKILL');
    await client.delete(PODS, { name: 'deleted-meanwhile', namespace: NAMESPACE }, { gracePeriodSeconds: 0 });
    await eventually(async () => assert.equal((await exec('web', ['hostname'])).out, 'web\n'), 10_000);
    const after = (await untilReady('web')).status?.containerStatuses?.[0];
    assert.equal(after?.containerID, before?.containerID);
    assert.equal(after?.restartCount, 0);
    const podsDirectory = join(directory, '.meltemi/clusters/c1/pods');
    await eventually(() => assert.equal(readdirSync(podsDirectory).length, 1));
  });

  test('After a restart of the environment a pod starts over with its address', async () => {
    const before = await get('web');
    await stop();
    assert.deepEqual(findProcesses(''), []);
    await start();
    await untilContainer('web', 'web', ({ restartCount, ready }) => restartCount === 1 && ready);
    const after = await get('web');
    assert.equal(after.status?.podIP, before.status?.podIP);
    assert.equal((await exec('web', ['cat', '/var/lib/web/state'])).out, 'prepared\n');
  });
});

const readable =
  uid !== 0 || spawnSync('setpriv', [`--reuid=${NOBODY}`, '--clear-groups', 'cat', MESH_FILE]).status === 0;
const skipAsUser = skip || (uid !== 0 && 'runs as root only') || (!readable && 'another user cannot read this clone');

test('The kubelet works for a user who is not root', { skip: skipAsUser }, () => {
  const home = mkdtempSync(join(tmpdir(), 'meltemi-user-'));
  chownSync(home, NOBODY, NOBODY);
  try {
    const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--no-new-privs'];
    const env = { PATH: process.env['PATH'] ?? '', TMPDIR: home };
    const args = [...user, process.execPath, '--test', fileURLToPath(import.meta.url)];
    const run = spawnSync('setpriv', args, { encoding: 'utf8', env });
    assert.equal(run.status, 0, run.stdout);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
