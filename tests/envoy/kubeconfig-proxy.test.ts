import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createKubeClient, PODS } from '@meltemi/kube';
import { sendJson, startScriptedServer } from '@meltemi/kube/testing';
import { freePort, needPeer } from '@meltemi/testing';
import { startEnvoy } from './envoy-process.ts';

/** Envoy as a forward proxy to one address, whatever it is asked for. */
function forwardProxy(port: number, target: URL): object {
  const socketAddress = (address: string, value: number): object => ({
    socket_address: { address, port_value: value },
  });
  const route = {
    match: { connect_matcher: {} },
    route: { cluster: 'target', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] },
  };
  const connectionManager = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'proxy',
    upgrade_configs: [{ upgrade_type: 'CONNECT' }],
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  const endpoint = { endpoint: { address: socketAddress(target.hostname, Number(target.port)) } };
  return {
    static_resources: {
      listeners: [
        {
          name: 'proxy',
          address: socketAddress('127.0.0.1', port),
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: connectionManager }] },
          ],
        },
      ],
      clusters: [
        {
          name: 'target',
          connect_timeout: '2s',
          load_assignment: { cluster_name: 'target', endpoints: [{ lb_endpoints: [endpoint] }] },
        },
      ],
    },
  };
}

test('a client reaches an API server through Envoy as the proxy of its kubeconfig', async (t) => {
  const executable = needPeer(t, 'envoy');
  if (executable === undefined) return;
  await using server = await startScriptedServer({
    answer: (_request, response) => sendJson(response, { kind: 'PodList', metadata: {}, items: [] }),
  });
  const port = await freePort();
  await using envoy = await startEnvoy(executable, forwardProxy(port, new URL(server.access.server)));
  await using client = createKubeClient({
    access: { ...server.access, proxy: { kind: 'http', host: '127.0.0.1', port } },
  });
  assert.deepEqual((await client.list(PODS)).items, []);
  assert.equal((await envoy.stats('cluster.target.upstream_cx_total')).get('cluster.target.upstream_cx_total'), 1);
});
