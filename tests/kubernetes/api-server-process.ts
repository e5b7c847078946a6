/** One kube-apiserver with its etcd on loopback: nothing but the API, for tests of what only talks to it. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClusterAccess, createKubeClient, type KubeClient, NAMESPACES } from '@meltemi/kube';
import { eventually, findPeer, freePort } from '@meltemi/testing';
import { createTestPki } from '../../packages/local/src/api-server/testing/test-pki.ts';

const START_MS = 60_000;
const ISSUER = 'https://kubernetes.default.svc.cluster.local';

/** An API server that runs. */
export interface ApiServerProcess extends AsyncDisposable {
  readonly url: string;
  readonly ca: string;
  readonly directory: string;
  /** With all rights. */
  readonly client: KubeClient;
}

/** Why it cannot run here; `false` when it can. */
export function missingForApiServer(): string | false {
  const missing = (['etcd', 'kube-apiserver'] as const).filter((name) => findPeer(name) === undefined);
  return missing.length === 0 ? false : `${missing.join(', ')} missing; run "npm run peers"`;
}

/** Starts both, and resolves when the API is ready. */
export async function startApiServerProcess(): Promise<ApiServerProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-kube-'));
  const pki = createTestPki(join(directory, 'pki'));
  const { certificatePath, keyPath } = pki.issueClient('admin', '/O=system:masters/CN=admin');
  const [etcdPort, peerPort, apiPort] = [await freePort(), await freePort(), await freePort()];
  const children: ChildProcess[] = [];
  let output = '';
  const start = (program: 'etcd' | 'kube-apiserver', flags: Readonly<Record<string, string>>): void => {
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    const child = spawn(findPeer(program) ?? '', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => (output = (output + String(chunk)).slice(-10_000)));
    }
    children.push(child);
  };
  const file = (name: string): string => join(pki.directory, name);
  start('etcd', {
    'data-dir': join(directory, 'etcd'),
    'listen-client-urls': `http://127.0.0.1:${etcdPort}`,
    'advertise-client-urls': `http://127.0.0.1:${etcdPort}`,
    'listen-peer-urls': `http://127.0.0.1:${peerPort}`,
    'initial-advertise-peer-urls': `http://127.0.0.1:${peerPort}`,
    'initial-cluster': `default=http://127.0.0.1:${peerPort}`,
    'log-level': 'warn',
    'unsafe-no-fsync': 'true',
  });
  start('kube-apiserver', {
    'etcd-servers': `http://127.0.0.1:${etcdPort}`,
    'bind-address': '127.0.0.1',
    'secure-port': String(apiPort),
    'tls-cert-file': file('apiserver.crt'),
    'tls-private-key-file': file('apiserver.key'),
    'client-ca-file': file('ca.crt'),
    'service-account-issuer': ISSUER,
    'service-account-key-file': file('sa.key'),
    'service-account-signing-key-file': file('sa.key'),
    'api-audiences': ISSUER,
    'service-cluster-ip-range': '10.111.0.0/16',
    'authorization-mode': 'Node,RBAC',
    // Without controllers no namespace has a default account.
    'disable-admission-plugins': 'ServiceAccount',
    'endpoint-reconciler-type': 'none',
    profiling: 'false',
  });
  const url = `https://127.0.0.1:${apiPort}`;
  const ca = readFileSync(file('ca.crt'), 'utf8');
  const access: ClusterAccess = {
    name: 'kube',
    server: url,
    certificateAuthorityPem: ca,
    credentials: {
      clientCertificate: {
        certificatePem: readFileSync(certificatePath, 'utf8'),
        keyPem: readFileSync(keyPath, 'utf8'),
      },
    },
  };
  const client = createKubeClient({ access });
  const dispose = async (): Promise<void> => {
    await client[Symbol.asyncDispose]();
    for (const child of children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await eventually(async () => {
      assert.ok(
        children.every(({ exitCode }) => exitCode === null),
        output,
      );
      assert.equal((await client.request({ method: 'GET', path: '/readyz' })).status, 200, output);
      await client.get(NAMESPACES, { name: 'default' });
    }, START_MS);
  } catch (error) {
    await dispose();
    throw error;
  }
  return { url, ca, directory, client, [Symbol.asyncDispose]: dispose };
}
