import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually } from '@meltemi/testing';
import { countVersions, startWalkthrough, type Walkthrough } from './environment-harness.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);
const ATTACHED = 'istio-remote-secret-cluster2';
/** 10.12.0.1:6443, cluster2's API, as /proc/net/tcp writes it, in state ESTABLISHED. */
const CONNECTION_TO_CLUSTER2 = /^\s*\d+: \S+ 01000C0A:192B 01 /m;

interface ClusterRow {
  readonly id: string;
  readonly secretName: string;
  readonly syncStatus: string;
}

describe('A remote cluster', {
  skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}`,
}, () => {
  let mesh: Walkthrough;
  let files: string;
  before(async () => {
    files = mkdtempSync(join(tmpdir(), 'meltemi-remote-'));
    mesh = await startWalkthrough();
  });
  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
    rmSync(files, { recursive: true, force: true });
  });

  const succeed = async (args: readonly string[], input?: string): Promise<string> => {
    const result = await mesh.meltemi(args, input);
    assert.equal(result.code, 0, `meltemi ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };
  const kubectl = async (...args: readonly string[]): Promise<string> => {
    const result = await mesh.kubectl(args);
    assert.equal(result.code, 0, `kubectl ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };
  const clusters = async (): Promise<readonly ClusterRow[]> =>
    JSON.parse(await succeed(['remote-clusters', '-o', 'json'])) as readonly ClusterRow[];
  const versions = async (): Promise<string[]> => [...(await countVersions(mesh, 20)).keys()].sort();
  const assertAttached = async (...ids: readonly string[]): Promise<void> => {
    await eventually(async () => {
      // Sidecars of a cluster that was detached go on asking: their cluster is listed as unknown.
      const found = (await clusters()).filter(({ syncStatus }) => syncStatus !== 'unknown');
      assert.deepEqual(found.map(({ id }) => id).sort(), [...ids].sort());
      for (const { id, syncStatus } of found) assert.equal(syncStatus, 'synced', id);
    }, 10_000);
  };
  const controlPlane = async (): Promise<string> =>
    await kubectl(
      'get',
      'pod',
      '-n',
      'istio-system',
      '-l',
      'app=istiod',
      '-o',
      'jsonpath={.items..metadata.name}/{.items..restartCount}',
    );
  /** The kubeconfig that attaches cluster2, as a user gets it. */
  const remoteKubeconfig = async (): Promise<string> => {
    const secret = await succeed(['create-remote-secret', '--cluster', 'cluster2']);
    const block = /^ {2}cluster2: \|\n((?: {4}.*\n)+)/m.exec(secret)?.[1];
    assert.ok(block !== undefined, secret);
    return block.replace(/^ {4}/gm, '');
  };

  test('MC-15 leaves within 5 s when its secret is deleted: no endpoint and no connection is left', async () => {
    assert.deepEqual(await versions(), ['v1', 'v2']);
    const sockets = ['exec', '-n', 'istio-system', 'deploy/istiod', '--', 'cat', '/proc/net/tcp'];
    assert.match(await succeed(sockets), CONNECTION_TO_CLUSTER2);
    await succeed(['delete', '-n', 'istio-system', 'secret', ATTACHED]);
    await eventually(async () => {
      const endpoints = await succeed(['proxy-config', 'endpoint', '-n', 'app1', 'deploy/sleep']);
      assert.doesNotMatch(endpoints, /^10\.12\./m);
    }, 5000);
    assert.deepEqual(await versions(), ['v1']);
    await assertAttached('cluster1');
    await eventually(async () => assert.doesNotMatch(await succeed(sockets), CONNECTION_TO_CLUSTER2), 5000);
  });

  test('MC-01 joins again by create-remote-secret, without a restart of the control plane', async () => {
    const before = await controlPlane();
    const secret = await succeed(['create-remote-secret', '--cluster', 'cluster2']);
    assert.equal(await succeed(['apply', '-f', '-'], secret), `secret/${ATTACHED} created\n`);
    await assertAttached('cluster1', 'cluster2');
    await eventually(async () => assert.deepEqual(await versions(), ['v1', 'v2']), 5000);
    assert.equal(await controlPlane(), before);
    assert.equal(await succeed(['apply', '-f', '-'], secret), `secret/${ATTACHED} unchanged\n`);
  });

  test('MC-07 MC-08 is not disturbed by secrets that name the own cluster or hold no kubeconfig', async () => {
    const before = await succeed(['proxy-status']);
    await kubectl(
      'create',
      'secret',
      'generic',
      'broken',
      '-n',
      'istio-system',
      '--from-literal=broken=not a kubeconfig',
    );
    await kubectl('label', 'secret', 'broken', 'istio/multiCluster=true', '-n', 'istio-system');
    const own = join(files, 'cluster1');
    writeFileSync(own, await remoteKubeconfig());
    await kubectl('create', 'secret', 'generic', 'own', '-n', 'istio-system', `--from-file=${own}`);
    await kubectl('label', 'secret', 'own', 'istio/multiCluster=true', '-n', 'istio-system');
    await eventually(async () => {
      const log = await succeed(['logs', '-n', 'istio-system', 'deploy/istiod']);
      assert.match(log, /cluster=broken secret=istio-system\/broken reason=/);
      assert.match(log, /cluster=cluster1 secret=istio-system\/own reason=.*own/);
    }, 5000);
    const found = await clusters();
    assert.deepEqual(
      found.filter(({ syncStatus }) => syncStatus === 'synced').map(({ id, secretName }) => [id, secretName]),
      [
        ['cluster1', ''],
        ['cluster2', `istio-system/${ATTACHED}`],
      ],
    );
    assert.deepEqual(await versions(), ['v1', 'v2']);
    assert.equal(await succeed(['proxy-status']), before, 'nothing was pushed');
    await succeed(['delete', '-n', 'istio-system', 'secret/broken', 'secret/own']);
    await assertAttached('cluster1', 'cluster2');
  });

  test('is attached by a labelled secret that kubectl makes of a file, under the name of the file', async () => {
    const file = join(files, 'n2-k8s-config');
    writeFileSync(file, await remoteKubeconfig());
    await succeed(['delete', '-n', 'istio-system', 'secret', ATTACHED]);
    await assertAttached('cluster1');
    assert.equal(
      await kubectl('create', 'secret', 'generic', 'n2-k8s-secret', '--from-file', file, '-n', 'istio-system'),
      'secret/n2-k8s-secret created\n',
    );
    assert.deepEqual(await versions(), ['v1'], 'the label is missing');
    assert.equal(
      await kubectl('label', 'secret', 'n2-k8s-secret', 'istio/multiCluster=true', '-n', 'istio-system'),
      'secret/n2-k8s-secret labeled\n',
    );
    await assertAttached('cluster1', 'n2-k8s-config');
    await eventually(async () => assert.deepEqual(await versions(), ['v1', 'v2']), 5000);
  });

  test('MC-03 leaves when its key is removed from a secret that has two', async () => {
    const config = Buffer.from(await remoteKubeconfig()).toString('base64');
    const patch = async (...operations: readonly object[]): Promise<string> =>
      await kubectl(
        'patch',
        'secret',
        'n2-k8s-secret',
        '-n',
        'istio-system',
        '--type=json',
        '-p',
        JSON.stringify(operations),
      );
    await patch({ op: 'add', path: '/data/cluster2', value: config });
    await assertAttached('cluster1', 'cluster2', 'n2-k8s-config');
    await patch({ op: 'remove', path: '/data/n2-k8s-config' });
    await assertAttached('cluster1', 'cluster2');
    await eventually(async () => assert.deepEqual(await versions(), ['v1', 'v2']), 5000);
  });
});
