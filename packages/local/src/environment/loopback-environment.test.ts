import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CONFIG_MAPS, createKubeClient, isPodReady, type KubeClient, NAMESPACES, PODS } from '@meltemi/kube';
import { eventually } from '@meltemi/kube/testing';
import { findProcessesByVariable } from '../sandbox/process-table.ts';
import { type RunningEnvironment, startEnvironment } from './environment.ts';
import { readMeshFile } from './mesh-file.ts';

const MESH_FILE = fileURLToPath(new URL('./testdata/loopback.yaml', import.meta.url));
const NAMESPACE = 'pods';
const skip = process.platform === 'linux' ? false : 'the loopback sandbox needs Linux';

const directory = mkdtempSync(join(tmpdir(), 'meltemi-loopback-'));
let environment: RunningEnvironment;
let client: KubeClient;
let lost: PromiseWithResolvers<string>;
const progress: string[] = [];

async function start(): Promise<void> {
  lost = Promise.withResolvers();
  environment = await startEnvironment({
    mesh: readMeshFile(MESH_FILE),
    directory,
    onProgress: (message) => progress.push(message),
    onLost: lost.resolve,
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

function untilReady(name: string): Promise<string> {
  return eventually(async () => {
    const pod = await client.get(PODS, { name, namespace: NAMESPACE });
    assert.ok(isPodReady(pod), JSON.stringify(pod.status));
    return pod.status?.podIP ?? '';
  }, 15_000);
}

async function exec(pod: string, script: string): Promise<string> {
  const stdout = new PassThrough();
  const command = ['sh', '-c', script];
  const session = client.exec({ pod: { name: pod, namespace: NAMESPACE }, command, stdout, stderr: stdout });
  await session.done;
  stdout.end();
  return (await text(stdout)).trim();
}

/** The processes of this environment, from the variable that each of them has. */
function livingProcesses(): readonly number[] {
  return findProcessesByVariable('MELTEMI_ENVIRONMENT', directory);
}

suite('an environment in the loopback sandbox', { skip }, () => {
  before(async () => {
    await start();
    const metadata = { name: NAMESPACE };
    await client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata });
    const settings = { name: 'settings', namespace: NAMESPACE };
    await client.create(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: settings,
      data: { mode: 'fair' },
    });
    await client.create(PODS, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'app', namespace: NAMESPACE },
      spec: {
        containers: [
          {
            name: 'app',
            image: 'test/sleep',
            ports: [{ containerPort: 8080 }],
            volumeMounts: [
              { name: 'settings', mountPath: '/etc/app' },
              { name: 'scratch', mountPath: '/etc/app-data' },
            ],
          },
        ],
        volumes: [
          { name: 'settings', configMap: { name: 'settings' } },
          { name: 'scratch', emptyDir: {} },
        ],
      },
    });
  });
  after(async () => {
    await stop();
    rmSync(directory, { recursive: true, force: true });
  });

  test('says what it is and what it lacks', () => {
    assert.match(progress.join('\n'), /sandbox: loopback, as asked for\n.*HTTP only.*\n.*no security boundary/);
  });

  test('gives a pod two addresses, a port, and its volumes below a root of its own', async () => {
    const ip = await untilReady('app');
    assert.match(ip, /^127\.91\.1\.\d+$/);
    const application = ip.replace('127.91.1.', '127.91.129.');
    const seen = await exec(
      'app',
      'echo $HOST $PORT $MELTEMI_POD_ADDRESS $MELTEMI_APP_ADDRESS $KUBERNETES_SERVICE_HOST; pwd',
    );
    const [variables, workingDir] = seen.split('\n');
    assert.equal(variables, `${ip} 8080 ${ip} ${application} 127.91.0.1`);
    assert.equal(workingDir, await exec('app', 'echo $MELTEMI_ROOT'));
    assert.equal(await exec('app', 'cat $MELTEMI_ROOT/etc/app/mode'), 'fair');
    await exec('app', 'echo kept > $MELTEMI_ROOT/etc/app-data/file');
    assert.equal(await exec('app', 'cat etc/app-data/file'), 'kept');
    assert.equal(existsSync('/etc/app'), false);
  });

  test('the root is short enough for sockets, and readable by its owner only', async () => {
    const root = await exec('app', 'echo $MELTEMI_ROOT');
    assert.ok(`${root}/var/run/secrets/workload-spiffe-uds/socket`.length <= 107, root);
    assert.equal(await exec('app', 'stat -c %a $(dirname $(dirname $MELTEMI_ROOT))'), '700');
  });

  test('when its first process is killed all ends, and the next start has the same pod', async () => {
    const root = await exec('app', 'echo $MELTEMI_ROOT');
    const isSupervisor = (pid: number): boolean =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('supervisor/main.ts');
    const supervisor = livingProcesses().find(isSupervisor);
    assert.ok(supervisor !== undefined && livingProcesses().length >= 5);
    process.kill(supervisor, 'SIGKILL');
    assert.match(await lost.promise, /SIGKILL/);
    await eventually(() => assert.deepEqual(livingProcesses(), []), 1000);
    assert.equal(existsSync(root), false);
    await stop();
    await start();
    // The status of the earlier life stands until the kubelet has looked.
    await eventually(async () => assert.equal(await exec('app', 'cat etc/app-data/file'), 'kept'));
  });

  test('refuses to go on in another sandbox, naming both ways out', async () => {
    await stop();
    await eventually(() => assert.deepEqual(livingProcesses(), []), 5_000);
    const mesh = { ...readMeshFile(MESH_FILE), sandbox: 'loopback' as const };
    rmSync(join(directory, '.meltemi/sandbox'));
    const starting = startEnvironment({
      mesh,
      directory,
      onProgress: () => {},
      onLost: () => {},
      nowMs: () => Date.now(),
      env: process.env,
      signal: new AbortController().signal,
    });
    await assert.rejects(starting, /made in the netns sandbox.*--reset.*--sandbox netns/);
    rmSync(join(directory, '.meltemi'), { recursive: true, force: true });
    await start();
  });
});
