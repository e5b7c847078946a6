import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createKubeClient, DEPLOYMENTS, loadKubeconfig, PODS } from '@meltemi/kube';
import { eventually } from '@meltemi/kube/testing';
import { createTestCluster } from '../api-server/testing/test-cluster.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

async function findFreePort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

test('The controllers run as a process of their own, as the user they have in a cluster, and end cleanly', async (t) => {
  await using cluster = await createTestCluster();
  const kubeconfig = cluster.kubeconfigFor('controllers', '/CN=system:kube-controller-manager');
  const dnsPort = await findFreePort();
  const flags = [
    '--kubeconfig',
    kubeconfig,
    '--dns-ip',
    '127.0.0.1',
    '--dns-port',
    String(dnsPort),
    '--no-service-rules',
  ];
  const child = spawn(process.execPath, [MAIN, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  await eventually(() => log.includes('Controllers are ready'), 10_000);

  const resolver = new Resolver({ timeout: 2_000, tries: 1 });
  resolver.setServers([`127.0.0.1:${dnsPort}`]);
  assert.deepEqual(await resolver.resolve4('kubernetes.default.svc.cluster.local'), ['10.111.0.1']);

  await using client = createKubeClient({ access: await loadKubeconfig({ path: cluster.adminKubeconfigPath }) });
  const labels = { app: 'hello' };
  await client.create(DEPLOYMENTS, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { namespace: 'default', name: 'hello' },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'x' }] } },
    },
  });
  await eventually(async () => (await client.list(PODS, { namespace: 'default' })).items.length === 2, 10_000);

  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null], log);
  assert.doesNotMatch(log, /warn|error/);
});

test('The controllers wait for an API server that is not there yet, and end when they are told to', async (t) => {
  const cluster = await createTestCluster();
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-controllers-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const kubeconfig = join(directory, 'kubeconfig');
  writeFileSync(kubeconfig, cluster.adminKubeconfig);
  await cluster[Symbol.asyncDispose]();
  const flags = ['--kubeconfig', kubeconfig, '--dns-ip', '127.0.0.1', '--dns-port', '0', '--no-service-rules'];
  const child = spawn(process.execPath, [MAIN, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  await eventually(() => log.includes('Still waiting for the API server'), 15_000);
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null], log);
});

test('The controllers end with 64 and the name of the flag when one is missing', () => {
  const { status, stderr } = spawnSync(process.execPath, [MAIN, '--dns-ip', '127.0.0.1'], { encoding: 'utf8' });
  assert.equal(status, 64);
  assert.match(stderr, /--kubeconfig/);
});
