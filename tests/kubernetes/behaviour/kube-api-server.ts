/** etcd and kube-apiserver alone, as a server for `createTestCluster`: what the embedded API server is measured by. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { get } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { TestServer, TestServerOptions } from '@meltemi/local/api-server/testing';
import { eventually, findPeer } from '@meltemi/testing';

const START_TIMEOUT_MS = 60_000;
const ISSUER = 'https://kubernetes.default.svc.cluster.local';

/** Why kube-apiserver cannot run here, with what to do about it; `false` when it can. */
export function missingForApiServer(): string | false {
  const missing = (['etcd', 'kube-apiserver', 'kubectl'] as const).filter((name) => findPeer(name) === undefined);
  return missing.length === 0 ? false : `${missing.join(', ')} missing; run "npm run peers"`;
}

/** Ports that are free now; Go's servers cannot be asked which one they have taken. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  return servers.map((server) => {
    const address = server.address();
    server.close();
    if (address === null || typeof address === 'string') throw new Error('BUG: a TCP server without a port');
    return address.port;
  });
}

/** Ends with this process, however that ends. */
function start(
  directory: string,
  name: 'etcd' | 'kube-apiserver',
  flags: Readonly<Record<string, string>>,
): ChildProcess {
  const log = openSync(join(directory, `${name}.log`), 'a');
  const words = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
  const argv = ['--pdeathsig', 'KILL', '--', findPeer(name) ?? name, ...words];
  const child = spawn('setpriv', argv, { stdio: ['ignore', log, log] });
  closeSync(log);
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

function isReady(port: number, ca: string): Promise<boolean> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path: '/readyz', ca, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    }).on('error', () => resolve(false));
  });
}

/** Starts both and waits until the API is ready. There are no controllers. */
export async function startKubeApiServer(options: TestServerOptions): Promise<TestServer> {
  const { directory, pkiDirectory, serviceCidr } = options;
  const [etcdPort = 0, peerPort = 0, freePort = 0] = await freePorts(3);
  const port = options.port === 0 ? freePort : options.port;
  const pki = (file: string): string => join(pkiDirectory, file);
  const etcdUrl = `http://127.0.0.1:${etcdPort}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const etcd = start(directory, 'etcd', {
    name: 'behaviour',
    'data-dir': join(directory, 'etcd'),
    'listen-client-urls': etcdUrl,
    'advertise-client-urls': etcdUrl,
    'listen-peer-urls': peerUrl,
    'initial-advertise-peer-urls': peerUrl,
    'initial-cluster': `behaviour=${peerUrl}`,
    'log-level': 'error',
    'unsafe-no-fsync': 'true',
  });
  const server = start(directory, 'kube-apiserver', {
    'etcd-servers': etcdUrl,
    'bind-address': '127.0.0.1',
    // Not a loopback address, which the Service `kubernetes` may not have.
    'advertise-address': '10.11.0.1',
    'secure-port': String(port),
    'tls-cert-file': pki('apiserver.crt'),
    'tls-private-key-file': pki('apiserver.key'),
    'client-ca-file': pki('ca.crt'),
    'service-account-issuer': ISSUER,
    'service-account-key-file': pki('sa.key'),
    'service-account-signing-key-file': pki('sa.key'),
    'api-audiences': ISSUER,
    'service-cluster-ip-range': serviceCidr,
    'authorization-mode': 'Node,RBAC',
    'kubelet-client-certificate': pki('apiserver-kubelet-client.crt'),
    'kubelet-client-key': pki('apiserver-kubelet-client.key'),
    'kubelet-certificate-authority': pki('ca.crt'),
    'kubelet-preferred-address-types': 'InternalIP',
    'enable-aggregator-routing': 'true',
    profiling: 'false',
  });
  const dispose = async (): Promise<void> => {
    await stop(server);
    await stop(etcd);
  };
  try {
    const ca = readFileSync(pki('ca.crt'), 'utf8');
    await eventually(() => {
      if (server.exitCode !== null || etcd.exitCode !== null) throw new Error(`see the logs in ${directory}`);
      return isReady(port, ca);
    }, START_TIMEOUT_MS);
    return { ports: [port], [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    const log = readFileSync(join(directory, 'kube-apiserver.log'), 'utf8');
    throw new Error(`kube-apiserver is not ready: ${log.slice(-2000)}`, { cause: error });
  }
}
