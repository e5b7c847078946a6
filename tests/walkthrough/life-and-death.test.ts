import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually } from '@meltemi/testing';
import {
  countVersions,
  type EnvironmentProcess,
  REPOSITORY_ROOT,
  runCommand,
  startWalkthrough,
  type Walkthrough,
} from './environment-harness.ts';
import { type ContainerStatuses, lastingContainers } from './pod-containers.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);

const HELLOWORLD_FILES = [
  '-f',
  'examples/helloworld/virtualservice.yaml',
  '-f',
  'examples/helloworld/destinationrule.yaml',
];
/** When the first process has died, nothing may be left after this long. */
const DEATH_MS = 1_000;

interface PodFacts {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: ContainerStatuses;
}

/** What an environment could leave behind on the machine: links, mounts, network namespaces. */
async function hostFacts(): Promise<string> {
  const [links, namespaces] = [await runCommand('ip', ['-o', 'link']), await runCommand('ip', ['netns', 'list'])];
  const mounts = readFileSync('/proc/self/mounts', 'utf8');
  return [links.stdout.replace(/ (state|mode|group|qlen) \S+/g, ''), namespaces.stdout, mounts].join('\n');
}

describe('Life and death in the walkthrough', {
  skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}`,
}, () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-life-'));
  let host: string;
  let mesh: Walkthrough;
  before(async () => {
    host = await hostFacts();
    mesh = await startWalkthrough({ directory });
  });
  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  const succeed = async (args: readonly string[], input?: string): Promise<string> => {
    const result = await mesh.meltemi(args, input);
    assert.equal(result.code, 0, `meltemi ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };
  const podOf = async (app: string): Promise<PodFacts> => {
    const text = await succeed(['get', 'pods', '-n', 'app1', '-l', `app=${app}`, '-o', 'json']);
    return (JSON.parse(text) as { readonly items: readonly PodFacts[] }).items[0] as PodFacts;
  };
  const restartsOf = async (app: string): Promise<Readonly<Record<string, number>>> =>
    Object.fromEntries(
      lastingContainers((await podOf(app)).status).map(({ name, restartCount }) => [name, restartCount]),
    );
  /** Processes of a script, on the node of a cluster or with a word in the environment that names their container. */
  const processesOf = (script: string, matches: (process: EnvironmentProcess) => boolean = () => true) =>
    mesh.processes().filter((process) => process.argv.some((word) => word.endsWith(script)) && matches(process));
  const ofContainer =
    (pod: PodFacts, container: string) =>
    ({ pid }: EnvironmentProcess): boolean =>
      readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`.${pod.metadata.uid}.${container}.`);
  const kill = (processes: readonly EnvironmentProcess[]): number => {
    assert.equal(processes.length, 1, processes.map(({ argv }) => argv.join(' ')).join('\n'));
    const { pid } = processes[0] as EnvironmentProcess;
    process.kill(pid, 'SIGKILL');
    return pid;
  };
  const bothAnswer = (): Promise<unknown> =>
    eventually(async () => {
      assert.deepEqual([...(await countVersions(mesh, 20)).keys()].sort(), ['v1', 'v2']);
    }, 30_000);

  test('an app that is killed is started again, at once and then with a back-off that shows', async () => {
    const pod = await podOf('helloworld');
    const killApp = (): Promise<number> =>
      eventually(() => kill(processesOf('helloworld/server.ts', ofContainer(pod, 'helloworld'))), 10_000);
    for (let count = 1; count <= 4; count++) {
      await killApp();
      await eventually(async () => assert.equal((await restartsOf('helloworld'))['helloworld'], count), 10_000);
    }
    // The fifth end: 0.5 s, 1 s, 2 s, and now 4 s of waiting, in which a slow machine can look too.
    await killApp();
    await eventually(async () => {
      const [pod, table] = await Promise.all([podOf('helloworld'), succeed(['get', 'pods', '-n', 'app1'])]);
      const app = pod.status.containerStatuses.find(({ name }) => name === 'helloworld');
      assert.equal(app?.state.waiting?.reason, 'CrashLoopBackOff');
      assert.match(app?.state.waiting?.message ?? '', /back-off 4s/);
      assert.match(table, /helloworld-v1-\S+\s+1\/2\s+CrashLoopBackOff/);
    }, 10_000);
    await bothAnswer();
  });

  test('a sidecar that is killed is started again, and requests go through it again', async () => {
    const pod = await podOf('helloworld');
    kill(processesOf('agent/src/main.ts', ofContainer(pod, 'istio-proxy')));
    await eventually(async () => {
      assert.equal((await restartsOf('helloworld'))['istio-proxy'], 1);
      assert.ok(lastingContainers((await podOf('helloworld')).status).every(({ ready }) => ready));
    }, 20_000);
    await bothAnswer();
  });

  test('a kubelet that is killed comes back and adopts its pods: no process ends', async () => {
    const containers = (): readonly number[] =>
      [...processesOf('agent/src/main.ts'), ...processesOf('server.ts'), ...processesOf('control-plane/src/main.ts')]
        .map(({ pid }) => pid)
        .sort();
    const [before, restarts] = [containers(), await restartsOf('helloworld')];
    const old = kill(processesOf('kubelet/main.ts', ({ argv }) => argv.includes('cluster1-node')));
    await eventually(
      () =>
        processesOf('kubelet/main.ts', ({ argv, pid }) => argv.includes('cluster1-node') && pid !== old).length === 1,
      10_000,
    );
    // It answers for its pods again.
    await eventually(async () => {
      const result = await mesh.meltemi(['exec', '-n', 'app1', 'deploy/sleep', '--', 'echo', 'adopted']);
      assert.equal(result.stdout, 'adopted\n', result.stderr);
    }, 20_000);
    assert.deepEqual(containers(), before);
    assert.deepEqual(await restartsOf('helloworld'), restarts);
    await bothAnswer();
  });

  test('SEC-57 a job calls through its native sidecar from its first moment, and ends when its work is done', async () => {
    const job = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'job', labels: { app: 'job' } },
      spec: {
        restartPolicy: 'Never',
        containers: [
          {
            name: 'job',
            image: 'meltemi/sleep',
            command: ['curl', '-s', '-f', '-i', 'http://helloworld:5000/hello'],
          },
        ],
      },
    };
    await succeed(['apply', '-n', 'app1', '-f', '-'], JSON.stringify(job));
    await eventually(async () => assert.match(await succeed(['get', 'pod', 'job', '-n', 'app1']), /Completed/), 30_000);
    const answer = await succeed(['logs', '-n', 'app1', 'job', '-c', 'job']);
    assert.match(answer, /Hello version: v[12]/);
    assert.match(answer, /^server: envoy$/im, 'it went through the sidecar');
    assert.match(await succeed(['logs', '-n', 'app1', 'job', '-c', 'istio-proxy']), /Draining|drain/i);
    const { status } = JSON.parse(await succeed(['get', 'pod', 'job', '-n', 'app1', '-o', 'json']));
    assert.equal(status.phase, 'Succeeded');
    const [init, proxy, work] = [...status.initContainerStatuses, ...status.containerStatuses].map(
      ({ name, state }) => ({ name, ...state.terminated }),
    );
    assert.deepEqual([init.name, proxy.name, work.name], ['istio-init', 'istio-proxy', 'job']);
    assert.deepEqual([init.exitCode, proxy.exitCode, work.exitCode], [0, 0, 0]);
    // Times have whole seconds.
    assert.ok(init.finishedAt <= proxy.startedAt && proxy.startedAt <= work.startedAt, 'capture, proxy, then the work');
    assert.ok(work.finishedAt <= proxy.finishedAt, 'the proxy ends after the work');
    await succeed(['delete', '-n', 'app1', 'pod', 'job']);
  });

  test('an application that takes its time to end calls others until its last moment', async () => {
    // Longer than a sidecar beside it would stay: that one leaves five seconds after the signal.
    const farewell =
      'trap "for i in 1 2 3 4 5 6 7 8; do curl -s -o /dev/null -w \'farewell %{http_code}\\n\' http://helloworld:5000/hello; sleep 1; done; exit 0" TERM; echo ready; while :; do sleep 0.2; done';
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'slow-end', labels: { app: 'slow-end' } },
      spec: {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 20,
        containers: [{ name: 'slow-end', image: 'meltemi/sleep', command: ['sh', '-c', farewell] }],
      },
    };
    await succeed(['apply', '-n', 'app1', '-f', '-'], JSON.stringify(pod));
    await eventually(
      async () => assert.match(await succeed(['logs', '-n', 'app1', 'slow-end', '-c', 'slow-end']), /ready/),
      30_000,
    );
    const log = succeed(['logs', '-n', 'app1', 'slow-end', '-c', 'slow-end', '-f']);
    await succeed(['delete', '-n', 'app1', 'pod', 'slow-end']);
    assert.deepEqual(
      (await log).split('\n').filter((line) => line.startsWith('farewell')),
      Array.from({ length: 8 }, () => 'farewell 200'),
    );
  });

  test('a second start of the same folder is refused and names the process that runs', async () => {
    const result = await runCommand(join(REPOSITORY_ROOT, 'meltemi'), ['up', directory]);
    assert.equal(result.code, 64, result.stderr);
    assert.match(result.stderr, new RegExp(`\\b${mesh.upProcess.pid}\\b`));
  });

  test('the first process is killed: everything dies within a second, and the next start has it all again', async () => {
    await succeed(['apply', '-n', 'app1', ...HELLOWORLD_FILES]);
    const objects = async (): Promise<readonly string[]> => {
      const kinds = 'pods,services,deployments,serviceaccounts,virtualservices,destinationrules';
      const list = JSON.parse(await succeed(['get', kinds, '-n', 'app1', '-o', 'json'])) as {
        readonly items: readonly { readonly kind: string; readonly metadata: { name: string; uid: string } }[];
      };
      return list.items.map(({ kind, metadata }) => `${kind}/${metadata.name} ${metadata.uid}`).sort();
    };
    const root = async (): Promise<string> =>
      succeed(['get', 'configmap', 'istio-ca-root-cert', '-n', 'app1', '-o', 'json']).then(
        (text) => (JSON.parse(text) as { readonly data: Record<string, string> }).data['root-cert.pem'] ?? '',
      );
    const [objectsBefore, rootBefore] = [await objects(), await root()];

    const processes = mesh.processes();
    const first = processes.find(({ parentPid }) => !processes.some(({ pid }) => pid === parentPid));
    const ended = new Promise((resolve) => mesh.upProcess.once('exit', resolve));
    process.kill((first as EnvironmentProcess).pid, 'SIGKILL');
    const isAlive = ({ pid }: EnvironmentProcess): boolean => {
      try {
        return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.startsWith('Z') === false;
      } catch {
        return false;
      }
    };
    await eventually(() => assert.deepEqual(processes.filter(isAlive), []), DEATH_MS, 10);
    assert.notEqual(await ended, 0);
    assert.equal(await hostFacts(), host);

    mesh = await startWalkthrough({ directory });
    assert.deepEqual(await objects(), objectsBefore);
    assert.equal(await root(), rootBefore);
    await eventually(async () => assert.deepEqual([...(await countVersions(mesh, 20))], [['v2', 20]]), 20_000);
  });
});
