import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually } from '@meltemi/testing';
import {
  countVersions,
  REPOSITORY_ROOT,
  runCommand,
  startWalkthrough,
  type Walkthrough,
} from './environment-harness.ts';
import { processesOf, readHostState } from './host-state.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);

/** One folder, started again and again: each test leaves it stopped. */
describe('An environment that ends', {
  skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}`,
}, () => {
  let files: string;
  let directory: string;
  let hostBefore: Awaited<ReturnType<typeof readHostState>>;
  before(async () => {
    files = mkdtempSync(join(tmpdir(), 'meltemi-leaves-'));
    directory = join(files, 'mesh');
    for (const name of ['mesh', 'home', 'tmp']) mkdirSync(join(files, name));
    hostBefore = await readHostState();
  });
  after(() => rmSync(files, { recursive: true, force: true }));

  /** Of the last start, pods' processes among them, in which nothing names the folder. */
  let started: readonly number[] = [];
  const start = async (flags: readonly string[] = []): Promise<Walkthrough> => {
    const env = { HOME: join(files, 'home'), TMPDIR: join(files, 'tmp') };
    const mesh = await startWalkthrough({ directory, flags, env });
    started = mesh.processes().map(({ pid }) => pid);
    return mesh;
  };
  const assertNothingLeft = async (): Promise<void> => {
    await eventually(() => {
      assert.deepEqual(processesOf(directory), []);
      assert.deepEqual(
        started.filter((pid) => existsSync(`/proc/${pid}`)),
        [],
      );
    }, 5000);
    assert.deepEqual(await readHostState(), hostBefore);
    assert.deepEqual(readdirSync(directory).sort(), ['.meltemi', 'mesh.yaml']);
    assert.deepEqual(readdirSync(join(files, 'home')), []);
    assert.deepEqual(readdirSync(join(files, 'tmp')), []);
  };
  /** What makes clusters and pods the ones they are. */
  const identities = async (mesh: Walkthrough): Promise<unknown> => {
    const read = async (...args: readonly string[]): Promise<string> => {
      const result = await mesh.meltemi(args);
      assert.equal(result.code, 0, result.stderr);
      return result.stdout;
    };
    const metadataOf = (json: string): unknown => {
      const { metadata } = JSON.parse(json) as { readonly metadata: { readonly uid: string } };
      return metadata.uid;
    };
    return {
      kubeconfig: readFileSync(mesh.kubeconfig, 'utf8'),
      deployment: metadataOf(await read('get', 'deployment', 'sleep', '-n', 'app1', '-o', 'json')),
      account: metadataOf(await read('get', 'serviceaccount', 'sleep', '-n', 'app1', '-o', 'json')),
      service: await read('get', 'service', 'helloworld', '-n', 'app1', '--cluster', 'cluster2', '-o', 'json'),
      intermediate: await read('get', 'secret', 'cacerts', '-n', 'istio-system', '-o', 'json'),
      root: await read('get', 'configmap', 'istio-ca-root-cert', '-n', 'app1', '-o', 'json'),
      virtualService: await read('get', 'virtualservice', 'helloworld', '-n', 'app1', '-o', 'json'),
    };
  };
  let remembered: unknown;

  test('leaves no process, interface, namespace, rule, mount or file behind on Ctrl-C', async () => {
    await using mesh = await start();
    const files = ['-f', 'examples/helloworld/virtualservice.yaml', '-f', 'examples/helloworld/destinationrule.yaml'];
    const applied = await mesh.meltemi(['apply', '-n', 'app1', ...files]);
    assert.equal(applied.code, 0, applied.stderr);
    assert.equal(applied.stderr, '', 'nothing to warn of');
    remembered = await identities(mesh);
    assert.ok(processesOf(directory).length > 5);
    assert.ok(started.length > 12, `${started.length} processes`);
    mesh.upProcess.kill('SIGINT');
    const [code] = (await once(mesh.upProcess, 'exit')) as [number | null];
    assert.equal(code, 0);
    assert.match(mesh.output(), /stopped; nothing is left running\n$/);
    await assertNothingLeft();
  });

  test('has the same identities and objects when it is started again, and refuses a second start', async () => {
    await using mesh = await start();
    assert.deepEqual(await identities(mesh), remembered);
    assert.deepEqual([...(await countVersions(mesh, 20)).keys()], ['v2'], 'routed as before');
    const second = await runCommand(join(REPOSITORY_ROOT, 'meltemi'), ['up', directory]);
    assert.equal(second.code, 64);
    assert.match(second.stderr, new RegExp(`runs already as process ${mesh.upProcess.pid}\\b`));
    const reset = await runCommand(join(REPOSITORY_ROOT, 'meltemi'), ['up', directory, '--reset']);
    assert.equal(reset.code, 64, 'what runs is not reset');
    assert.deepEqual(await identities(mesh), remembered);

    mesh.upProcess.kill('SIGKILL');
    await once(mesh.upProcess, 'exit');
    await assertNothingLeft();
    const asked = await mesh.meltemi(['get', 'pods']);
    assert.equal(asked.code, 64);
    assert.match(asked.stderr, /No environment runs in .* \(named by MELTEMI_DIR\)/);
  });

  test('ends as a whole when its first process is killed, and says so; --reset begins afresh', async () => {
    await using mesh = await start(['--reset']);
    assert.deepEqual([...(await countVersions(mesh, 20)).keys()].sort(), ['v1', 'v2'], 'nothing steers the traffic');
    const { kubeconfig } = remembered as { readonly kubeconfig: string };
    assert.notEqual(readFileSync(mesh.kubeconfig, 'utf8'), kubeconfig, 'a new certificate authority');
    const supervisor = mesh.processes()[0];
    assert.ok(supervisor);
    process.kill(supervisor.pid, 'SIGKILL');
    const [code] = (await once(mesh.upProcess, 'exit')) as [number | null];
    assert.equal(code, 1);
    assert.match(mesh.output(), /Error: the environment's first process ended with /);
    await assertNothingLeft();
  });

  test('stops at once, and quietly, on Ctrl-C while it starts', async () => {
    const child = spawn(join(REPOSITORY_ROOT, 'meltemi'), ['up', directory], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stderr.on('data', (chunk) => {
      output += String(chunk);
      if (String(chunk).includes('Network of 2 clusters is built')) child.kill('SIGINT');
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    assert.equal(code, 0, output);
    assert.match(output, /stopped; nothing is left running\n$/);
    assert.doesNotMatch(output, /Error/);
    await assertNothingLeft();
  });
});
