import { type EnvoyJson, translateToJson } from '../../packages/pilot/src/testing/envoy-json.ts';
import { fixtureConfig } from '../../packages/pilot/src/testing/mesh-fixture.ts';
import type { KeyPair } from '../../packages/proxy/src/testing/authority-fixture.ts';

/** Who calls and who is called in a benchmark. */
export const CALLER = 'spiffe://cluster.local/ns/app1/sa/sleep';
export const CALLED = 'spiffe://cluster.local/ns/app1/sa/helloworld';
/** The host that requests name. */
export const HOST = 'helloworld.app1.svc.cluster.local:5000';

/** What a bootstrap is made of. */
export interface BenchmarkHop {
  readonly listenPort: number;
  readonly originPort: number;
  readonly isMutualTls: boolean;
  /** The proxy's. */
  readonly certificate: KeyPair;
  readonly authority: string;
}

/** Secrets stand in the bootstrap: what refers to a discovery service refers to them instead. */
function withStaticSecrets(value: EnvoyJson): EnvoyJson {
  if (Array.isArray(value)) return value.map(withStaticSecrets);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'sds_config')
      .map(([name, member]) => [name, withStaticSecrets(member)]),
  );
}

/**
 * What pilot says to a sidecar that calls a service, put into a static bootstrap, so that two proxies run the very same.
 *
 * The listener is the one for explicit proxying, which needs no captured traffic. For mutual TLS it gets the transport socket that
 * pilot gives the pod's inbound chain.
 */
export function buildPilotBootstrap(hop: BenchmarkHop): object {
  const { listenPort, originPort, isMutualTls, certificate, authority } = hop;
  const sidecar = translateToJson(
    {
      meshConfig: { proxyHttpPort: listenPort, accessLogFile: '' },
      services: [
        {
          name: 'helloworld',
          namespace: 'app1',
          vip: '10.111.0.50',
          ports: [{ name: 'http', number: 5000, target: originPort }],
          serviceAccounts: [CALLED],
          endpoints: [{ address: '127.0.0.1', tlsMode: isMutualTls ? 'istio' : 'disabled' }],
        },
        {
          name: 'sleep',
          namespace: 'app1',
          vip: '10.111.0.51',
          ports: [{ name: 'http', number: 80, target: 8080 }],
          endpoints: [{ address: '10.11.0.9', labels: { app: 'sleep' } }],
        },
      ],
      configs: [fixtureConfig('PeerAuthentication', 'strict', { mtls: { mode: 'STRICT' } }, { namespace: 'app1' })],
    },
    {
      namespace: 'app1',
      labels: { app: 'sleep' },
      // What both proxies have.
      features: {
        httpPeerMetadata: false,
        tcpMetadataExchange: false,
        httpStats: false,
        tcpStats: false,
        alpnOverride: false,
      },
    },
  );
  const listener = [...sidecar.listeners.values()].find(
    ({ address }) => address.socket_address.port_value === listenPort,
  );
  const inbound = sidecar.listeners.get('virtualInbound');
  const clusters = [...sidecar.clusters.values()].filter(({ type }) => type === 'EDS');
  const [chain] = listener.filter_chains;
  const [filter] = chain.filters;
  const { rds, ...manager } = filter.typed_config;
  const transportSocket = inbound.filter_chains.find(
    (candidate: EnvoyJson) =>
      candidate.transport_socket !== undefined && candidate.filter_chain_match.transport_protocol === 'tls',
  ).transport_socket;
  return withStaticSecrets({
    node: { id: 'sidecar~10.11.0.9~sleep.app1~app1.svc.cluster.local', cluster: 'sleep.app1' },
    static_resources: {
      secrets: [
        {
          name: 'default',
          tls_certificate: {
            certificate_chain: { inline_string: certificate.certificate },
            private_key: { inline_string: certificate.key },
          },
        },
        { name: 'ROOTCA', validation_context: { trusted_ca: { inline_string: authority } } },
      ],
      listeners: [
        {
          ...listener,
          filter_chains: [
            {
              ...chain,
              ...(isMutualTls ? { transport_socket: transportSocket } : {}),
              filters: [
                {
                  ...filter,
                  typed_config: { ...manager, route_config: sidecar.routes.get(rds.route_config_name) },
                },
              ],
            },
          ],
        },
      ],
      clusters: clusters.map(({ eds_cluster_config, ...cluster }) => ({
        ...cluster,
        type: 'STATIC',
        load_assignment: sidecar.endpoints.get(eds_cluster_config.service_name),
      })),
    },
  });
}
