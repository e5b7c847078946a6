import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Agent, createAgent, parseProxyConfig, readSettings } from '@meltemi/agent';
import { createLogLevels, silentLog, systemClock } from '@meltemi/base';
import { eventually, freePort } from '@meltemi/testing';
import { fetchPage } from './control-plane-harness.ts';

const REPOSITORY = join(import.meta.dirname, '../..');

/** A control plane in a process of its own. */
export interface Replica extends AsyncDisposable {
  readonly name: string;
  readonly grpcPort: number;
  readonly process: ChildProcess;
  /** What it has logged so far. */
  log(): string;
  /** A debug page, parsed. */
  debug<Answer>(path: string): Promise<Answer>;
}

/** Starts a replica and waits until it is ready. */
export async function startReplica(options: {
  readonly name: string;
  readonly kubeconfigPath: string;
  readonly leaseDuration: string;
  readonly flags?: readonly string[];
}): Promise<Replica> {
  const { name, kubeconfigPath, leaseDuration, flags = [] } = options;
  const [grpcPort, httpPort] = [await freePort(), await freePort()];
  const child = spawn(
    process.execPath,
    [
      join(REPOSITORY, 'packages/control-plane/src/main.ts'),
      '--cluster-id=cluster1',
      '--ca-directory=/nonexistent',
      '--custom-hosts=localhost',
      `--pod-name=${name}`,
      `--kubeconfig=${kubeconfigPath}`,
      `--lease-duration=${leaseDuration}`,
      `--secure-grpc-addr=127.0.0.1:${grpcPort}`,
      `--http-addr=127.0.0.1:${httpPort}`,
      '--https-addr=127.0.0.1:0',
      '--monitoring-addr=127.0.0.1:0',
      ...flags,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LOG_LEVEL: 'info' } },
  );
  let text = '';
  child.stdout?.on('data', (chunk) => (text += String(chunk)));
  child.stderr?.on('data', (chunk) => (text += String(chunk)));
  await eventually(async () => {
    assert.equal(child.exitCode, null, text);
    assert.equal((await fetchPage(httpPort, '/ready')).status, 200);
  }, 20_000);
  return {
    name,
    grpcPort,
    process: child,
    log: () => text,
    async debug<Answer>(path: string) {
      return JSON.parse((await fetchPage(httpPort, path)).body) as Answer;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** What a Service does for a sidecar: leads to the first of its targets that accepts. */
export async function startServiceAddress(targets: readonly number[]): Promise<AsyncDisposable & { port: number }> {
  const open = new Set<{ destroy(): void }>();
  const server: Server = createServer((downstream) => {
    open.add(downstream);
    downstream.on('close', () => open.delete(downstream));
    downstream.on('error', () => downstream.destroy());
    const dial = (index: number): void => {
      const port = targets[index];
      if (port === undefined) return void downstream.destroy();
      const upstream = connect(port, '127.0.0.1');
      open.add(upstream);
      upstream.once('connect', () => {
        upstream.off('error', next);
        upstream.on('error', () => downstream.destroy());
        upstream.pipe(downstream).pipe(upstream);
      });
      const next = (): void => dial(index + 1);
      upstream.once('error', next);
      upstream.on('close', () => {
        open.delete(upstream);
        if (upstream.bytesRead > 0) downstream.destroy();
      });
    };
    dial(0);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
    },
  };
}

/** An agent with our proxy, which takes requests as an HTTP proxy at its own address. */
export interface TestSidecar extends AsyncDisposable {
  readonly name: string;
  readonly address: string;
  /** @returns The status, or why there was none. */
  ask(proxyPort: number, url: string): Promise<number | string>;
}

/** Starts a sidecar as a pod would, with the identity that its token has. */
export async function startSidecar(options: {
  readonly name: string;
  readonly address: string;
  readonly discoveryPort: number;
  readonly rootPem: string;
  readonly token: string;
}): Promise<TestSidecar> {
  const { name, address, discoveryPort, rootPem, token } = options;
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-replicas-'));
  const paths = {
    root: directory,
    rootCertificate: join(directory, 'root-cert.pem'),
    revocationLists: join(directory, 'ca-crl.pem'),
    token: join(directory, 'token'),
    sdsSocket: join(directory, 'sds'),
    podInfo: join(directory, 'podinfo'),
    resolvConf: join(directory, 'resolv.conf'),
  };
  writeFileSync(paths.rootCertificate, rootPem);
  writeFileSync(paths.token, token);
  const readinessPort = await freePort();
  const proxyConfig = await parseProxyConfig(
    JSON.stringify({
      configPath: join(directory, 'proxy'),
      discoveryAddress: `localhost:${discoveryPort}`,
      proxyAdminPort: await freePort(),
      terminationDrainDuration: '0.1s',
      concurrency: 1,
    }),
  );
  assert.ok(proxyConfig.ok);
  const flags = { nodeType: 'sidecar' as const, proxyLogLevel: 'error' };
  const settings = readSettings({
    flags: {
      ...flags,
      domain: undefined,
      serviceCluster: undefined,
      proxyComponentLogLevel: undefined,
      concurrency: undefined,
    },
    env: {
      POD_NAME: name,
      POD_NAMESPACE: 'app1',
      SERVICE_ACCOUNT: 'sleep',
      INSTANCE_IP: address,
      MELTEMI_POD_ADDRESS: address,
      MELTEMI_APP_ADDRESS: address.replace('127.0.0.', '127.0.1.'),
      ISTIO_META_CLUSTER_ID: 'cluster1',
      ISTIO_META_INTERCEPTION_MODE: 'NONE',
      ENVOY_STATUS_PORT: String(readinessPort),
      ENVOY_PROMETHEUS_PORT: String(await freePort()),
    },
    proxyConfig: { ...proxyConfig.value, statusPort: 0 },
    interfaceIps: [],
    paths,
  });
  const agent: Agent = createAgent({
    settings,
    clock: systemClock,
    random: Math.random,
    log: silentLog,
    logLevels: createLogLevels('error'),
  });
  await agent.start();
  return {
    name,
    address,
    ask: (port, url) =>
      new Promise((resolve) => {
        const call = get(
          { host: address, port, path: url, headers: { host: new URL(url).host }, agent: false },
          (answer) => {
            answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
          },
        );
        call.setTimeout(5_000, () => call.destroy(new Error('no answer within 5 s')));
        call.on('error', (error) => resolve(error.message));
      }),
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
