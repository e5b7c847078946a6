/** What the tests under load have in common: changes made while it runs, and what all of its requests came to. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '@meltemi/testing';
import { REPOSITORY_ROOT, type Walkthrough } from '../environment-harness.ts';
import { failuresOf, type LoadAnswer, type RecordedLoad, versionsOf } from './recorded-load.ts';

/** Before and after each change the load runs for so long by itself; one change's time after is the next one's before. */
const QUIET_MS = 5_000;

/** The Deployment of helloworld v1, in a version of its own or as it is. */
export function helloworldV1(version?: string, replicas = 1): string {
  const manifest = readFileSync(join(REPOSITORY_ROOT, 'examples/helloworld/helloworld.yaml'), 'utf8');
  const deployment = manifest.split('---\n').find((document) => document.includes('name: helloworld-v1')) ?? '';
  const env = `          env:\n            - { name: SERVICE_VERSION, value: ${version} }\n          ports:`;
  return deployment
    .replace('replicas: 1', `replicas: ${replicas}`)
    .replace('          ports:', version === undefined ? '          ports:' : env);
}

interface DeploymentFacts {
  readonly metadata: { readonly generation: number };
  readonly spec: { readonly replicas: number };
  readonly status: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
  };
}

/** See {@link loadSteps}. */
export interface LoadSteps {
  /** Runs one of the user's commands, which has to succeed. */
  succeed(args: readonly string[], input?: string): Promise<string>;
  /** Does something under load. @returns All that was sent from the last change, or a while before, to a while after. */
  underLoad(change: () => Promise<unknown>): Promise<readonly LoadAnswer[]>;
  /** Says that the load has a new pod: what the old one has seen is gone, and time before a change begins anew. */
  loadWasReplaced(): void;
  /**
   * Kills one process at once, and waits until another one has taken its place.
   *
   * @param program The end of its script's path, or the peer that it is, such as `kube-apiserver`.
   * @param words Words of its command line.
   */
  kill(program: string, ...words: readonly string[]): Promise<void>;
  bothVersionsAnswer(): Promise<void>;
  /** Waits until a Deployment of app1 in cluster1 is as it was asked for, and no pod is ending any more. */
  rolledOut(deployment: string): Promise<void>;
}

/** Steps of tests under load; what they are about need exist only when they are taken. */
export function loadSteps(mesh: () => Walkthrough, load: () => RecordedLoad): LoadSteps {
  const succeed = async (args: readonly string[], input?: string): Promise<string> => {
    const result = await mesh().run(args, input);
    assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };

  /** What the sidecars on both sides say of requests that failed. */
  const accessLogOfFailures = async (): Promise<readonly string[]> => {
    const targets = [['deploy/load'], ['deploy/helloworld-v1'], ['deploy/helloworld-v2', '--cluster', 'cluster2']];
    const logs = targets.map(async ([name = '', ...cluster]) => {
      const { stdout } = await mesh().run(['logs', '-n', 'app1', name, ...cluster, '-c', 'istio-proxy']);
      const failed = stdout.split('\n').filter((line) => / HTTP\/1\.1" (?:0|5\d\d) /.test(line));
      return failed.slice(-20).map((line) => `${name}: ${line}`);
    });
    return (await Promise.all(logs)).flat();
  };
  let lastChangeMs: number | undefined;
  const underLoad = async (change: () => Promise<unknown>): Promise<readonly LoadAnswer[]> => {
    const startedMs = lastChangeMs ?? Date.now();
    await delay(Math.max(0, startedMs + QUIET_MS - Date.now()));
    await change();
    lastChangeMs = Date.now();
    await delay(QUIET_MS);
    const answers = load().since(startedMs);
    const expected = ((Date.now() - startedMs) / 1000) * 200;
    const failures = failuresOf(answers).map(
      ({ sentMs, durationMs, result }) => `+${sentMs - startedMs} (${durationMs} ms): ${result}`,
    );
    if (failures.length > 0) assert.fail([...failures, ...(await accessLogOfFailures())].join('\n'));
    assert.ok(answers.length > expected * 0.8, `${answers.length} answers of about ${Math.round(expected)}`);
    return answers;
  };

  const loadWasReplaced = (): void => {
    lastChangeMs = undefined;
  };

  const processIdsOf = (program: string, ...words: readonly string[]): readonly number[] =>
    mesh()
      .processes()
      .filter(
        ({ argv: [file, script] }) => script?.endsWith(program) === true || file?.includes(`/${program}-`) === true,
      )
      .filter(({ argv }) => words.every((word) => argv.includes(word)))
      .map(({ pid }) => pid);
  const kill = async (program: string, ...words: readonly string[]): Promise<void> => {
    const [pid, ...others] = processIdsOf(program, ...words);
    assert.ok(pid !== undefined && others.length === 0, `one process runs ${program}`);
    process.kill(pid, 'SIGKILL');
    await eventually(() => processIdsOf(program, ...words).some((other) => other !== pid), 20_000);
  };
  const bothVersionsAnswer = async (): Promise<void> => {
    await eventually(() => {
      const { v1 = 0, v2 = 0 } = versionsOf(load().since(Date.now() - 1_000));
      assert.ok(v1 > 0 && v2 > 0, `v1 ${v1}, v2 ${v2}`);
    }, 10_000);
  };
  const rolledOut = async (deployment: string): Promise<void> => {
    await eventually(
      async () => {
        const text = await succeed(['get', 'deployment', deployment, '-n', 'app1', '-o', 'json']);
        const { metadata, spec, status } = JSON.parse(text) as DeploymentFacts;
        assert.equal(status.observedGeneration, metadata.generation);
        assert.equal(status.replicas ?? 0, spec.replicas);
        assert.equal(status.updatedReplicas ?? 0, spec.replicas);
        assert.equal(status.readyReplicas ?? 0, spec.replicas);
      },
      60_000,
      300,
    );
    await eventually(async () => {
      const pods = JSON.parse(await succeed(['get', 'pods', '-n', 'app1', '-o', 'json'])) as {
        readonly items: readonly { readonly metadata: { readonly deletionTimestamp?: string } }[];
      };
      assert.ok(pods.items.every(({ metadata }) => metadata.deletionTimestamp === undefined));
    }, 60_000);
  };

  return { succeed, underLoad, loadWasReplaced, kill, bothVersionsAnswer, rolledOut };
}
