import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { get } from 'node:http';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import type { JsonValue } from '@bufbuild/protobuf';
import { type Agent, createAgent, type ProxyFlags, parseProxyConfig, readSettings } from '@meltemi/agent';
import { createLogLevels, silentLog, systemClock } from '@meltemi/base';
import { findPeer, freePort, PEERS } from '@meltemi/testing';
import type { MeshDouble } from './mesh-double.ts';

/** How long a sidecar may take to start, and a change to reach it. */
export const START_MS = 20_000;
/** Names of the workload's own certificate and of the mesh's roots. */
const WORKLOAD_SECRETS = { certificate: 'default', roots: 'ROOTCA' };
const CLIENT = 'spiffe://cluster.local/ns/app1/sa/client';

/** What the kubelet and the injector tell the sidecar of a pod of `sleep`, and on which ports the test finds it. */
export function podEnvironment(ports: {
  readonly readinessPort: number;
  readonly prometheusPort: number;
}): Readonly<Record<string, string>> {
  return {
    POD_NAME: 'sleep-1',
    POD_NAMESPACE: 'app1',
    SERVICE_ACCOUNT: 'sleep',
    INSTANCE_IP: '127.0.0.1',
    ISTIO_META_CLUSTER_ID: 'cluster1',
    ENVOY_STATUS_PORT: String(ports.readinessPort),
    ENVOY_PROMETHEUS_PORT: String(ports.prometheusPort),
  };
}

/** An agent with its proxy. */
export interface Sidecar extends AsyncDisposable {
  readonly agent: Agent;
  readonly adminPort: number;
  readonly readinessPort: number;
}

/** What a sidecar differs in. */
export interface SidecarOptions {
  /** Envoy's executable; absent: our own proxy. */
  readonly binary?: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
  /** Name of the socket that secrets are served on. */
  readonly sdsSocket?: string;
  /** Flags of the agent, besides those that keep it silent. */
  readonly flags?: Partial<ProxyFlags>;
  /** Fields of ProxyConfig. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Runs an agent as a pod would, but for its ports and paths. */
export async function startSidecar(
  mesh: MeshDouble,
  { binary, env = {}, sdsSocket = 'sds', flags = {}, config: fields = {} }: SidecarOptions,
): Promise<Sidecar> {
  const [adminPort, readinessPort, prometheusPort] = [await freePort(), await freePort(), await freePort()];
  const config = {
    configPath: join(mesh.directory, 'proxy'),
    discoveryAddress: mesh.address(),
    proxyAdminPort: adminPort,
    terminationDrainDuration: '0.1s',
    concurrency: 1,
    ...(binary === undefined ? {} : { binaryPath: binary }),
    ...fields,
  };
  const proxyConfig = await parseProxyConfig(JSON.stringify(config));
  assert.ok(proxyConfig.ok);
  const settings = readSettings({
    flags: {
      nodeType: 'sidecar',
      domain: undefined,
      serviceCluster: undefined,
      proxyLogLevel: 'error',
      proxyComponentLogLevel: undefined,
      concurrency: undefined,
      ...flags,
    },
    env: {
      ...podEnvironment({ readinessPort, prometheusPort }),
      ...env,
    },
    // The agent's own port is found out after it listens.
    proxyConfig: { ...proxyConfig.value, statusPort: 0 },
    interfaceIps: [],
    paths: {
      root: mesh.directory,
      rootCertificate: mesh.rootPath,
      revocationLists: join(mesh.directory, 'ca-crl.pem'),
      token: mesh.tokenPath,
      sdsSocket: join(mesh.directory, sdsSocket),
      podInfo: join(mesh.directory, 'podinfo'),
      resolvConf: join(mesh.directory, 'resolv.conf'),
    },
  });
  const agent = createAgent({
    settings,
    clock: systemClock,
    random: () => 0.5,
    log: silentLog,
    logLevels: createLogLevels('error'),
  });
  try {
    await agent.start();
  } catch (error) {
    await agent[Symbol.asyncDispose]();
    throw error;
  }
  return { agent, adminPort, readinessPort, [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose]() };
}

/** A listener that speaks mTLS, with the workload's certificate unless another is named, and answers by itself. */
export function mtlsListener(
  port: number,
  { certificate, roots }: { readonly certificate: string; readonly roots: string } = WORKLOAD_SECRETS,
): JsonValue {
  const sds = {
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
    },
    resource_api_version: 'V3',
    initial_fetch_timeout: '0s',
  };
  return {
    name: 'mtls',
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [
      {
        transport_socket: {
          name: 'envoy.transport_sockets.tls',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
            require_client_certificate: true,
            common_tls_context: {
              tls_certificate_sds_secret_configs: [{ name: certificate, sds_config: sds }],
              validation_context_sds_secret_config: { name: roots, sds_config: sds },
            },
          },
        },
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              stat_prefix: 'mtls',
              route_config: {
                virtual_hosts: [
                  {
                    name: 'all',
                    domains: ['*'],
                    routes: [
                      { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'hello' } } },
                    ],
                  },
                ],
              },
              http_filters: [
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}

/** The status of a GET on loopback. */
export async function statusOf(port: number, path = '/healthz/ready'): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).on('error', reject);
  });
}

/** A certificate with its key, PEM. */
export interface ClientPair {
  readonly cert: string;
  readonly key: string;
}

/** A certificate of a workload of the mesh. */
export function issueClient(mesh: MeshDouble, name: string = CLIENT): ClientPair & { readonly leafPem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issued = mesh.ca.issue({
    publicKey: publicKey.export({ format: 'der', type: 'spki' }),
    names: [name],
    ttlMs: 3_600_000,
  });
  assert.ok(issued.ok);
  const { certificatePem: leafPem, chain } = issued.value;
  return {
    leafPem,
    cert: leafPem + chain.join(''),
    key: privateKey.export({ format: 'pem', type: 'sec1' }).toString(),
  };
}

/** Connects with a certificate, whatever becomes of it. */
function openTls(mesh: MeshDouble, port: number, { cert, key }: ClientPair): TLSSocket {
  return connect({
    host: '127.0.0.1',
    port,
    ca: mesh.root.certificatePem,
    cert,
    key,
    // The peer is a SPIFFE ID, not a host name; the chain is checked all the same.
    checkServerIdentity: () => undefined,
  });
}

/** Connects as another workload of the mesh. */
export async function dial(mesh: MeshDouble, port: number): Promise<{ socket: TLSSocket; peer: X509Certificate }> {
  const socket = openTls(mesh, port, issueClient(mesh));
  await once(socket, 'secureConnect');
  // Read now: Node forgets the peer's certificate once a session ticket has arrived.
  return { socket, peer: new X509Certificate(socket.getPeerX509Certificate()?.raw ?? '') };
}

/** Whether a client is let in: with TLS 1.3 a refusal comes after the client's own handshake has ended. */
export function isServed(mesh: MeshDouble, port: number, client: ClientPair): Promise<boolean> {
  const socket = openTls(mesh, port, client);
  return new Promise((resolve) => {
    socket.on('data', () => resolve(true)).on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
    socket.write('GET / HTTP/1.1\r\nhost: sleep\r\n\r\n');
  }).then((served) => {
    socket.destroy();
    return served === true;
  });
}

const envoy = findPeer('envoy');
const envoyVersion = PEERS.find(({ name }) => name === 'envoy')?.version ?? '';
/** The proxies that an agent may run. */
export const KINDS: readonly {
  readonly name: string;
  readonly binary: string | undefined;
  readonly skip: string | false;
}[] = [
  { name: 'our proxy', binary: undefined, skip: false },
  {
    name: 'real Envoy',
    binary: envoy,
    skip: envoy === undefined ? `envoy ${envoyVersion} is missing; run "npm run peers"` : false,
  },
];
