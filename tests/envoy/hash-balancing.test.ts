/** Consistent balancing must lead to the same hosts as Envoy's: the two may stand side by side in front of one service. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, freePort, needPeer } from '@meltemi/testing';
import { startEnvoy } from './envoy-process.ts';

const START_MS = 15_000;
const MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const POLICIES = ['RING_HASH', 'MAGLEV'] as const;
const HOSTS = ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5'];

function address(host: string, port: number): object {
  return { socket_address: { address: host, port_value: port } };
}

function clusterOf(policy: string, originPort: number): object {
  const endpoints = HOSTS.map((host, index) => ({
    endpoint: { address: address(host, originPort) },
    load_balancing_weight: index === 0 ? 3 : 1,
  }));
  return {
    name: policy,
    type: 'STATIC',
    lb_policy: policy,
    load_assignment: { cluster_name: policy, endpoints: [{ lb_endpoints: endpoints }] },
  };
}

function listenerOf(policy: string, port: number): object {
  const manager = {
    '@type': `type.googleapis.com/${MANAGER}`,
    stat_prefix: policy,
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
    route_config: {
      name: policy,
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [
            {
              match: { prefix: '/' },
              route: {
                cluster: policy,
                hash_policy: [
                  { header: { header_name: 'x-user' }, terminal: true },
                  { query_parameter: { name: 'user' }, terminal: true },
                  { cookie: { name: 'affinity', ttl: '60s', path: '/', attributes: [{ name: 'Secure' }] } },
                ],
              },
            },
          ],
        },
      ],
    },
  };
  const filter = { name: 'envoy.filters.network.http_connection_manager', typed_config: manager };
  return { name: policy, address: address('127.0.0.1', port), filter_chains: [{ filters: [filter] }] };
}

/** One server at all addresses that says which of them was called. */
async function startOrigin(): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer((request, response) => response.end(request.socket.localAddress));
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function ask(port: number, path: string, headers: Record<string, string>): Promise<[string, IncomingMessage]> {
  const request = get({ host: '127.0.0.1', port, path, headers, agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += String(chunk);
  assert.equal(response.statusCode, 200, text);
  return [text, response];
}

/** The hosts that requests come to, by what they carry. */
async function choices(port: number): Promise<readonly string[]> {
  const found: string[] = [];
  for (let user = 0; user < 60; user++) {
    found.push((await ask(port, '/', { 'x-user': `user-${user}` }))[0]);
    found.push((await ask(port, `/?user=${user}&x=1`, {}))[0]);
    found.push((await ask(port, '/', { cookie: `other=1; affinity=${user}` }))[0]);
  }
  return found;
}

function bootstrapOf(ports: readonly number[], originPort: number): object {
  return {
    node: { id: 'hash', cluster: 'hash' },
    static_resources: {
      clusters: POLICIES.map((policy) => clusterOf(policy, originPort)),
      listeners: POLICIES.map((policy, index) => listenerOf(policy, ports[index] as number)),
    },
  };
}

async function startOurs(bootstrap: object, port: number): Promise<AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'meltemi-hash-'));
  const file = join(folder, 'bootstrap.json');
  await writeFile(file, JSON.stringify(bootstrap));
  const main = join(import.meta.dirname, '../../packages/proxy/src/main.ts');
  const child = spawn(process.execPath, [main, '-c', file, '--concurrency', '1'], { stdio: 'ignore' });
  await eventually(
    async () => (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined))?.ok === true,
    START_MS,
  );
  return {
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}

test('ring hash and maglev choose the hosts that Envoy chooses, and make the same cookies', async (t) => {
  const executable = needPeer(t, 'envoy');
  if (executable === undefined) return;
  await using origin = await startOrigin();
  const theirs = [await freePort(), await freePort()];
  const ours = [await freePort(), await freePort()];
  await using _envoy = await startEnvoy(executable, bootstrapOf(theirs, origin.port));
  await using _proxy = await startOurs(bootstrapOf(ours, origin.port), ours[0] as number);
  for (const [index, policy] of POLICIES.entries()) {
    const [wanted, found] = [await choices(theirs[index] as number), await choices(ours[index] as number)];
    assert.deepEqual(found, wanted, policy);
    assert.equal(new Set(found).size, HOSTS.length, 'every host is chosen');
  }
  const cookieOf = async (port: number): Promise<string> => String((await ask(port, '/', {}))[1].headers['set-cookie']);
  const shape = (cookie: string): string => cookie.replace(/"[0-9a-f]+"/, '"…"');
  const [wanted, found] = [await cookieOf(theirs[0] as number), await cookieOf(ours[0] as number)];
  assert.equal(shape(found), shape(wanted));
  const [first] = await ask(ours[0] as number, '/', { cookie: found.split(';')[0] as string });
  const [second] = await ask(theirs[0] as number, '/', { cookie: found.split(';')[0] as string });
  assert.equal(first, second);
});
