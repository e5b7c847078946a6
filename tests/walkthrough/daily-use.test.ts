import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually } from '@meltemi/testing';
import {
  type CommandResult,
  countVersions,
  REPOSITORY_ROOT,
  runCommand,
  startWalkthrough,
  type Walkthrough,
} from './environment-harness.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);
const FILES = ['-f', 'examples/helloworld/virtualservice.yaml', '-f', 'examples/helloworld/destinationrule.yaml'];
const ESCAPE = '\x1b';

describe('Daily use', { skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}` }, () => {
  let mesh: Walkthrough;
  let files: string;
  before(async () => {
    files = mkdtempSync(join(tmpdir(), 'meltemi-daily-'));
    mesh = await startWalkthrough();
  });
  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
    rmSync(files, { recursive: true, force: true });
  });

  const run = async (...args: readonly string[]): Promise<CommandResult> => {
    const result = await mesh.meltemi(args);
    assert.ok(!`${result.stdout}${result.stderr}`.includes(ESCAPE), `no colour where it is piped: ${args.join(' ')}`);
    return result;
  };
  const succeed = async (...args: readonly string[]): Promise<string> => {
    const result = await run(...args);
    assert.equal(result.code, 0, `meltemi ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };
  const fail = async (code: number, message: RegExp, ...args: readonly string[]): Promise<void> => {
    const result = await run(...args);
    assert.equal(result.code, code, `meltemi ${args.join(' ')}: ${result.stdout}${result.stderr}`);
    assert.match(result.stderr, message);
    assert.equal(result.stderr.split('\n').filter((line) => /^\s+at /.test(line)).length, 0, 'no stack trace');
  };
  /** Host process ids of the sidecar of a deployment's pod. */
  const sidecarsOf = (deployment: string): number[] =>
    mesh
      .processes()
      .filter(({ argv }) => argv.some((word) => word.endsWith('agent/src/main.ts')) && argv.includes('proxy'))
      .map(({ pid }) => pid)
      .filter((pid) => readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`\0HOSTNAME=${deployment}-`));

  test('every view comes in every form', async () => {
    for (const view of [
      ['get', 'pods', '-n', 'app1'],
      ['get', 'deployment', 'sleep', '-n', 'app1'],
      ['get', 'all', '-n', 'app1'],
      ['proxy-status'],
      ['remote-clusters'],
      ['version'],
      ...['cluster', 'listener', 'route', 'endpoint', 'secret'].map((kind) => [
        'proxy-config',
        kind,
        '-n',
        'app1',
        'deploy/sleep',
      ]),
    ]) {
      const json: unknown = JSON.parse(await succeed(...view, '-o', 'json'));
      assert.ok(typeof json === 'object' && json !== null, view.join(' '));
      assert.match(await succeed(...view, '-o', 'yaml'), /^(?:- )?"?@?[\w.]+"?: ?/);
      const [heading = '', ...rows] = (await succeed(...view, '-o', 'table')).trimEnd().split('\n');
      assert.match(heading, /^[A-Z]+(?: [A-Z]+)*(?: {2,}\S+(?: \S+)*)*$/, view.join(' '));
      assert.ok(rows.length > 0, view.join(' '));
      assert.ok((await succeed(...view, '-o', 'wide')).length >= heading.length);
      for (const name of (await succeed(...view, '-o', 'name')).trimEnd().split('\n')) assert.match(name, /^\S*$/);
      await fail(64, /Unknown output "yml"; known are table, wide, json, yaml, name/, ...view, '-o', 'yml');
    }
    assert.match(await succeed('proxy-config', 'cluster', '-n', 'app1', 'deploy/sleep', '-o', 'json'), /^\[/);
  });

  test('a mistyped kind, cluster, object or folder is named, with what was meant', async () => {
    await fail(64, /no kind "podz"; did you mean pods\?/, 'get', 'podz');
    await fail(
      64,
      /No cluster "clustr2".* which has cluster1, cluster2; did you mean cluster2\?/,
      'get',
      'pods',
      '--cluster',
      'clustr2',
    );
    await fail(1, /"nosuch" not found/, 'get', 'pod', 'nosuch', '-n', 'app1');
    await fail(1, /Namespace ap1 not found in cluster1; did you mean app1\?/, 'get', 'pods', '-n', 'ap1');
    await fail(1, /Deployment slep not found in namespace app1/, 'logs', 'deploy/slep', '-n', 'app1');
    await fail(1, /namespaces "app2" not found/, 'apply', '-n', 'app2', ...FILES);
    await fail(65, /Cannot read nosuch\.yaml: ENOENT[^\n]*'nosuch\.yaml'\n$/, 'apply', '-f', 'nosuch.yaml');
    await fail(64, /Unknown command 'gett'\n\(Did you mean get\?\)/, 'gett');
    await fail(64, /The command comes after --/, 'exec', '-n', 'app1', 'deploy/sleep', 'curl', '-s', 'x');
    await fail(64, /these run:\n.*meltemi-walkthrough-/s, 'get', 'pods', '--dir', files);
    assert.equal((await run('exec', '-n', 'app1', 'deploy/sleep', '--', 'sh', '-c', 'exit 7')).code, 7);
  });

  test('the command works from any folder, through a symlink, and by npx without a network', async () => {
    const link = join(files, 'meltemi');
    symlinkSync(join(REPOSITORY_ROOT, 'meltemi'), link);
    const named = await runCommand(link, ['get', 'ns', 'app1', '-o', 'name', '--dir', mesh.directory], { cwd: files });
    assert.equal(named.stdout, 'namespace/app1\n', named.stderr);
    const npx = await runCommand('npx', ['--no-install', 'meltemi', 'get', 'ns', 'app1', '-o', 'name'], {
      env: { ...process.env, MELTEMI_DIR: mesh.directory },
    });
    assert.equal(npx.stdout, 'namespace/app1\n', npx.stderr);
  });

  test('the small curl of the sleep image calls the service where the host has none', async () => {
    const withoutCurl = [
      'mkdir -p /tmp/bin; for program in dirname readlink tr grep paste sh; do ln -sf "$(command -v $program)" /tmp/bin/; done',
      'image=${PATH%%:*}; node=$(dirname "$(command -v node)")',
      'PATH=$image:$node:/tmp/bin; curl -s -w "%{http_code}\\n" helloworld.app1:5000/hello',
    ].join('\n');
    const answer = await succeed('exec', '-n', 'app1', 'deploy/sleep', '--', 'sh', '-c', withoutCurl);
    assert.match(answer, /^Hello version: v[12], instance: \S+\n200\n/);
    await eventually(async () => {
      const log = await succeed('logs', '-n', 'app1', 'deploy/sleep', '-c', 'istio-proxy');
      assert.match(log, /"curl\/meltemi"/, 'it was the small one');
    }, 15_000);
  });

  test('fields without effect are warned of, by meltemi and by kubectl', async () => {
    const rule = join(files, 'rule.yaml');
    writeFileSync(
      rule,
      'apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: fields\nspec:\n  host: fields.example\n  trafficPolicy:\n    proxyProtocol:\n      version: V2\n',
    );
    const warning = /Warning: MELTEMI-UNIMPLEMENTED DestinationRule\.trafficPolicy\.proxyProtocol/;
    const ours = await run('apply', '-n', 'app1', '-f', rule);
    assert.equal(ours.code, 0, ours.stderr);
    assert.match(ours.stderr, warning);
    await succeed('delete', '-n', 'app1', '-f', rule);
    const theirs = await mesh.kubectl(['apply', '-n', 'app1', '-f', rule]);
    assert.equal(theirs.code, 0, theirs.stderr);
    assert.match(theirs.stderr, warning);
    await succeed('delete', '-n', 'app1', '-f', rule);
  });

  test('wait returns when what kubectl applied is everywhere', async () => {
    assert.equal((await mesh.kubectl(['apply', '-n', 'app1', ...FILES])).code, 0);
    assert.equal(await succeed('wait', '--for=distribution'), 'distributed\n');
    assert.deepEqual([...(await countVersions(mesh, 20)).keys()], ['v2']);
    await succeed('delete', '-n', 'app1', ...FILES);
  });

  test('apply and wait name the proxy that does not acknowledge, and --wait=false does not care', async () => {
    const sidecars = sidecarsOf('helloworld-v1');
    assert.equal(sidecars.length, 1);
    for (const pid of sidecars) process.kill(pid, 'SIGSTOP');
    try {
      await fail(
        1,
        /is stored, but not distributed after 2 s: not acknowledged by helloworld-v1-\S+\.app1; see "meltemi proxy-status"/,
        'apply',
        '-n',
        'app1',
        ...FILES,
        '--timeout',
        '2s',
      );
      await fail(
        1,
        /after 1 s: not acknowledged by helloworld-v1-\S+\.app1/,
        'wait',
        '--for=distribution',
        '--timeout',
        '1s',
      );
      assert.match(await succeed('proxy-status'), /^helloworld-v1-\S+\.app1 .*STALE/m);
      const startedMs = performance.now();
      await succeed('delete', '-n', 'app1', ...FILES, '--wait=false');
      assert.ok(performance.now() - startedMs < 2000);
    } finally {
      for (const pid of sidecars) process.kill(pid, 'SIGCONT');
    }
    await succeed('wait', '--for=distribution');
  });

  test('without the injector no pod is made in a labelled namespace, and what runs goes on; with it they appear', async () => {
    const scale = async (namespace: string, deployment: string, replicas: number): Promise<void> => {
      const result = await mesh.kubectl([
        'scale',
        '-n',
        namespace,
        `deployment/${deployment}`,
        `--replicas=${replicas}`,
      ]);
      assert.equal(result.code, 0, result.stderr);
    };
    const names = async (namespace: string, label: string): Promise<string[]> =>
      (await succeed('get', 'pods', '-n', namespace, '-l', label, '-o', 'name'))
        .split('\n')
        .filter((name) => name !== '');
    await scale('istio-system', 'istiod', 0);
    await eventually(async () => assert.deepEqual(await names('istio-system', 'app=istiod'), []), 15_000);
    await scale('app1', 'helloworld-v1', 2);
    await eventually(async () => {
      const events = await succeed('events', '-n', 'app1');
      assert.match(events, /Warning +FailedCreate +replicaset\/helloworld-v1-\S+ .*sidecar-injector\.istio\.io/);
    }, 10_000);
    assert.equal((await names('app1', 'version=v1')).length, 1);
    const counts = await countVersions(mesh, 40);
    assert.deepEqual([...counts.keys()].sort(), ['v1', 'v2'], 'running pods go on');
    await fail(1, /no pod of deployment istiod is ready/, 'proxy-status');
    await fail(1, /failed calling webhook "validation\.istio\.io"/, 'apply', '-n', 'app1', ...FILES);
    await scale('istio-system', 'istiod', 1);
    await eventually(async () => {
      const pods = await succeed('get', 'pods', '-n', 'app1', '-l', 'version=v1');
      assert.equal(pods.match(/ 2\/2 +Running /g)?.length, 2, pods);
    }, 40_000);
    await succeed('wait', '--for=distribution');
    assert.equal([...(await countVersions(mesh, 40)).keys()].sort().join(), 'v1,v2');
  });
});
