import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, createRegistry, fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf';
import { Server } from '@grpc/grpc-js';
import { err, type Log, ok, silentLog, systemClock } from '@meltemi/base';
import {
  type AuthorityPair,
  authenticateCall,
  type CertificateAuthority,
  createCertificateAuthority,
  createCertificateService,
  createClientCertificateAuthenticator,
  createIntermediate,
  createKubernetesTokenAuthenticator,
  createRootCertificateAuthority,
  createServingCertificate,
  createServingCredentials,
  parseSigningBundle,
  parseSpiffeId,
  type SigningBundle,
} from '@meltemi/citadel';
import {
  createDiscoveryServer,
  type DiscoverySession,
  type EncodedResource,
  encodeResource,
  type ResourceView,
  TYPE_URLS,
} from '@meltemi/xds';
import { ClusterSchema } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { file_envoy_extensions_filters_http_router_v3_router } from '@meltemi/xds/types/envoy/extensions/filters/http/router/v3/router_pb.js';
import { file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager } from '@meltemi/xds/types/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { file_envoy_extensions_transport_sockets_tls_v3_tls } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';

import { ProxyConfigSchema } from '@meltemi/xds/types/istio/mesh/v1alpha1/proxy_pb.js';
import { NameTableSchema } from '@meltemi/xds/types/istio/networking/nds/v1/nds_pb.js';

const DAY_MS = 86_400_000;

/** What may stand in an `Any` of the listeners that tests hand in. */
const REGISTRY = createRegistry(
  file_envoy_extensions_filters_http_router_v3_router,
  file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager,
  file_envoy_extensions_transport_sockets_tls_v3_tls,
);

/** A control plane of CA and discovery, small enough to hold in a test: one service account, one cluster, fixed listeners. */
export interface MeshDouble extends AsyncDisposable {
  readonly root: AuthorityPair;
  readonly ca: CertificateAuthority;
  readonly directory: string;
  readonly address: () => string;
  readonly rootPath: string;
  readonly tokenPath: string;
  /** Tokens that were reviewed, in order. */
  readonly reviewedTokens: string[];
  /** Certificates that were asked for over the wire. */
  readonly signedCount: () => number;
  /** Discovery streams that were opened, and whether they were delta. */
  readonly protocols: () => readonly string[];
  /** While false, discovery streams are refused. */
  serveDiscovery(isServed: boolean): void;
  /** Takes effect with the next stream, or at once after {@link push}. */
  setListeners(listeners: readonly JsonValue[]): void;
  /** Clusters besides one without endpoints. */
  setClusters(clusters: readonly JsonValue[]): void;
  /** Addresses by name: the table for agents that answer DNS queries. */
  setNames(names: Readonly<Record<string, readonly string[]>>): void;
  /** Roots that agents are told to trust, PEM. */
  setTrustAnchors(pems: readonly string[]): void;
  /** Sends what was set to connected clients. */
  push(): void;
  stop(): void;
  /** Starts again on the same port. */
  restart(): Promise<void>;
}

/** @param account Who every good token belongs to. A token `expired` is refused. */
export async function startMeshDouble(
  account: { readonly namespace: string; readonly serviceAccount: string } = {
    namespace: 'app1',
    serviceAccount: 'sleep',
  },
  { log = silentLog }: { readonly log?: Log } = {},
): Promise<MeshDouble> {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-mesh-'));
  const root = createRootCertificateAuthority({ organization: 'Test', lifetimeMs: DAY_MS * 30, nowMs: Date.now() });
  const ca = createCertificateAuthority({ bundle: newBundle(root), clock: systemClock });
  const serving = createServingCertificate({ ca, clock: systemClock, log: silentLog, dnsNames: ['localhost'] });
  const reviewedTokens: string[] = [];
  let signedCount = 0;
  const counting: CertificateAuthority = {
    ...ca,
    signWorkload: (request) => {
      signedCount += 1;
      return ca.signWorkload(request);
    },
  };
  const tokens = createKubernetesTokenAuthenticator({
    clusters: {
      ids: () => ['cluster1'],
      find: (id) => {
        if (id !== 'cluster1') return undefined;
        return async (token, audiences) => {
          reviewedTokens.push(token);
          if (token === 'expired') return { authenticated: false };
          const username = `system:serviceaccount:${account.namespace}:${account.serviceAccount}`;
          return { authenticated: true, audiences, user: { username, groups: ['system:serviceaccounts'] } };
        };
      },
    },
    localClusterId: 'cluster1',
    trustDomain: 'cluster.local',
  });
  const authenticators = [createClientCertificateAuthenticator(), tokens];
  const rootPath = join(directory, 'root-cert.pem');
  const tokenPath = join(directory, 'token');
  writeFileSync(rootPath, root.certificatePem);
  writeFileSync(tokenPath, 'token-1');

  let isServed = true;
  let listeners: readonly EncodedResource[] = [];
  let clusters: readonly EncodedResource[] = [BLACK_HOLE];
  let names: readonly EncodedResource[] = [];
  let proxyConfigs: readonly EncodedResource[] = [];
  let number = 1;
  let port = 0;
  let server: Server | undefined;
  let discovery: ReturnType<typeof createDiscovery> | undefined;

  const createDiscovery = () =>
    createDiscoveryServer<DiscoverySession>({
      clock: systemClock,
      log,
      authenticate: async ({ authorization = '', clusterId, peerCertificate }) => {
        const bearerToken = authorization.replace('Bearer ', '');
        const caller = await authenticateCall(authenticators, {
          bearerToken,
          ...(peerCertificate === undefined ? {} : { verifiedCertificate: peerCertificate }),
          ...(clusterId === undefined ? {} : { clusterId }),
        });
        return caller.ok ? parseSpiffeId(caller.value.identities[0] ?? '') : caller;
      },
      provider: {
        open: () => (isServed ? ok(session) : err('not yet')),
      },
    });
  const generate = (typeUrl: string): ResourceView => {
    const byType: Readonly<Record<string, readonly EncodedResource[]>> = {
      [TYPE_URLS.listener]: listeners,
      [TYPE_URLS.cluster]: clusters,
      [TYPE_URLS.nameTable]: names,
      [TYPE_URLS.proxyConfig]: proxyConfigs,
    };
    const known = byType[typeUrl] ?? [];
    return {
      number,
      versionInfo: String(number),
      resources: new Map(known.map((resource) => [resource.name, resource])),
    };
  };
  const session: DiscoverySession = {
    get number() {
      return number;
    },
    generate,
    [Symbol.dispose]: () => {},
  };
  const restart = async (): Promise<void> => {
    server = new Server();
    discovery = createDiscovery();
    discovery.addTo(server);
    const service = createCertificateService({ ca: counting, log: silentLog, authenticators });
    server.addService(service.definition, service.implementation);
    const grpc = server;
    port = await new Promise((resolve, reject) => {
      grpc.bindAsync(`127.0.0.1:${port}`, createServingCredentials(serving), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
  };
  const stop = (): void => {
    server?.forceShutdown();
    discovery?.[Symbol.dispose]();
  };
  await restart();
  return {
    root,
    ca,
    directory,
    address: () => `localhost:${port}`,
    rootPath,
    tokenPath,
    reviewedTokens,
    signedCount: () => signedCount,
    protocols: () => discovery?.statuses().map(({ protocol }) => protocol) ?? [],
    serveDiscovery: (served) => {
      isServed = served;
    },
    setListeners: (documents) => {
      listeners = documents.map((document) => {
        const listener = fromJson(ListenerSchema, document, { registry: REGISTRY });
        return encodeResource(TYPE_URLS.listener, listener.name, toBinary(ListenerSchema, listener));
      });
    },
    setClusters: (documents) => {
      clusters = [
        BLACK_HOLE,
        ...documents.map((document) => {
          const cluster = fromJson(ClusterSchema, document);
          return encodeResource(TYPE_URLS.cluster, cluster.name, toBinary(ClusterSchema, cluster));
        }),
      ];
    },
    setNames: (addresses) => {
      const table = Object.fromEntries(
        Object.entries(addresses).map(([host, ips]) => [host, { ips: [...ips], registry: 'External' }]),
      );
      const bytes = toBinary(NameTableSchema, create(NameTableSchema, { table }));
      names = [encodeResource(TYPE_URLS.nameTable, 'names', bytes)];
    },
    setTrustAnchors: (pems) => {
      const bytes = toBinary(ProxyConfigSchema, create(ProxyConfigSchema, { caCertificatesPem: [...pems] }));
      proxyConfigs = [encodeResource(TYPE_URLS.proxyConfig, 'proxy-config', bytes)];
    },
    push: () => {
      number += 1;
      const types = [TYPE_URLS.cluster, TYPE_URLS.listener, TYPE_URLS.nameTable, TYPE_URLS.proxyConfig];
      discovery?.push(() => new Map(types.map((typeUrl) => [typeUrl, 'all'])));
    },
    stop,
    restart,
    async [Symbol.asyncDispose]() {
      stop();
      serving[Symbol.dispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A fresh intermediate under a root, ready to sign. */
export function newBundle(root: AuthorityPair): SigningBundle {
  const files = createIntermediate(root, {
    organization: 'Test',
    // Another name than the root's: verifiers find revocation lists by the issuer's name.
    commonName: 'intermediate',
    lifetimeMs: DAY_MS * 20,
    nowMs: Date.now(),
  });
  const bundle = parseSigningBundle({
    signingCertificatePem: files['ca-cert.pem'],
    signingKeyPem: files['ca-key.pem'],
    chainPem: files['cert-chain.pem'],
    rootPem: files['root-cert.pem'],
  });
  if (!bundle.ok) throw new Error(bundle.error);
  return bundle.value;
}

/** A cluster without endpoints: proxies count an empty answer as none. */
const BLACK_HOLE: EncodedResource = encodeResource(
  TYPE_URLS.cluster,
  'black-hole',
  toBinary(ClusterSchema, create(ClusterSchema, { name: 'black-hole' })),
);
