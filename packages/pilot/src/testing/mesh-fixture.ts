import { defaultMeshConfig, type MeshConfig } from '@meltemi/api';
import {
  buildMeshSnapshot,
  type ConfigResource,
  type Endpoint,
  type MeshInputs,
  type MeshSnapshot,
  resolveProtocol,
  type Service,
  serviceKey,
} from '@meltemi/model';
import { ALL_FEATURES, type ProxyNode } from '../translate/proxy-node.ts';

/** A port of a fixture's service: name, number, and the pod's port when it differs. */
export interface FixturePort {
  readonly name: string;
  readonly number: number;
  readonly target?: number;
  readonly appProtocol?: string;
}

/** A service of a fixture. */
export interface FixtureService {
  readonly name: string;
  readonly namespace?: string;
  readonly vip?: string;
  readonly ports: readonly FixturePort[];
  readonly headless?: boolean;
  readonly serviceAccounts?: readonly string[];
  readonly exportTo?: readonly string[];
  readonly createdMs?: number;
  readonly endpoints?: readonly FixtureEndpoint[];
}

/** An endpoint of a fixture. */
export interface FixtureEndpoint {
  readonly address: string;
  readonly cluster?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly tlsMode?: 'istio' | 'disabled';
  readonly health?: Endpoint['health'];
  readonly locality?: string;
  readonly serviceAccount?: string;
}

/** Builds a service as the registry would. */
export function fixtureService(fixture: FixtureService): Service {
  const namespace = fixture.namespace ?? 'default';
  const vip = fixture.vip ?? '0.0.0.0';
  return {
    hostname: `${fixture.name}.${namespace}.svc.cluster.local`,
    namespace,
    name: fixture.name,
    clusterVIPs: new Map(fixture.vip === undefined ? [] : [['cluster1', [fixture.vip]]]),
    defaultAddress: vip,
    ports: fixture.ports.map((port) => ({
      name: port.name,
      number: port.number,
      protocol: resolveProtocol(port),
    })),
    resolution: fixture.headless === true ? 'Passthrough' : 'ClientSideLB',
    meshExternal: false,
    exportTo: fixture.exportTo ?? [],
    serviceAccounts: fixture.serviceAccounts ?? [],
    attributes: {
      registry: 'Kubernetes',
      labels: {},
      creationTimestampMs: fixture.createdMs ?? 1000,
      sourceKey: `Service/${namespace}/${fixture.name}`,
    },
  };
}

/** Builds the endpoints of a fixture's service, by cluster. */
export function fixtureShards(fixture: FixtureService): ReadonlyMap<string, readonly Endpoint[]> {
  const shards = new Map<string, Endpoint[]>();
  for (const endpoint of fixture.endpoints ?? []) {
    const clusterId = endpoint.cluster ?? 'cluster1';
    const list = shards.get(clusterId) ?? [];
    shards.set(clusterId, list);
    const [region = '', zone = '', subzone = ''] = (endpoint.locality ?? '').split('/');
    const labels = endpoint.labels ?? {};
    list.push({
      address: endpoint.address,
      ports: new Map(fixture.ports.map((port) => [port.name, port.target ?? port.number])),
      labels,
      serviceAccount: endpoint.serviceAccount ?? '',
      network: '',
      locality: { region, zone, subzone },
      clusterId,
      tlsMode: endpoint.tlsMode ?? 'istio',
      health: endpoint.health ?? 'healthy',
      weight: 1,
      workloadName: fixture.name,
      namespace: fixture.namespace ?? 'default',
      canonicalName: fixture.name,
      canonicalRevision: labels['version'] ?? 'latest',
      nodeName: `${clusterId}-node`,
    });
  }
  return shards;
}

/** Builds a resource of configuration. */
export function fixtureConfig<Spec>(
  kind: string,
  name: string,
  spec: Spec,
  overrides: Partial<ConfigResource<Spec>> = {},
): ConfigResource<Spec> {
  return {
    kind,
    apiVersion: kind === 'PeerAuthentication' ? 'security.istio.io/v1' : 'networking.istio.io/v1',
    namespace: 'default',
    name,
    labels: {},
    annotations: {},
    creationTimestampMs: 1000,
    generation: 1,
    resourceVersion: '1',
    spec,
    source: {},
    ...overrides,
  };
}

/** What a fixture's mesh consists of. */
export interface FixtureMesh {
  readonly services?: readonly FixtureService[];
  readonly configs?: readonly ConfigResource[];
  readonly meshConfig?: Partial<MeshConfig>;
}

/** Builds the inputs of a snapshot. */
export function fixtureInputs(mesh: FixtureMesh): MeshInputs {
  const services = mesh.services ?? [];
  return {
    meshConfig: { ...defaultMeshConfig(), ...mesh.meshConfig },
    services: services.map(fixtureService),
    endpoints: new Map(services.map((service) => [serviceKey(fixtureService(service)), fixtureShards(service)])),
    workloads: [],
    configs: mesh.configs ?? [],
    collectedAtMs: Date.UTC(2026, 0, 1),
  };
}

/** Builds a snapshot. */
export function fixtureSnapshot(mesh: FixtureMesh, previous?: MeshSnapshot): MeshSnapshot {
  return buildMeshSnapshot(fixtureInputs(mesh), previous);
}

/** A sidecar in namespace `default` of `cluster1`, with every extension. */
export function fixtureNode(overrides: Partial<ProxyNode> = {}): ProxyNode {
  return {
    type: 'sidecar',
    id: 'p.default',
    namespace: 'default',
    clusterId: 'cluster1',
    network: '',
    addresses: ['10.11.0.9'],
    labels: {},
    locality: { region: '', zone: '', subzone: '' },
    nodeName: 'cluster1-node',
    interceptionMode: 'REDIRECT',
    isUnprivileged: false,
    features: ALL_FEATURES,
    ...overrides,
  };
}

const SUBSETS = [
  { name: 'v1', labels: { version: 'v1' } },
  { name: 'v2', labels: { version: 'v2' } },
];

/** helloworld v1 in one cluster and v2 in another, called by sleep, with routing rules and STRICT mTLS. */
export const HELLOWORLD_MESH: FixtureMesh = {
  meshConfig: { accessLogFile: '/dev/stdout' },
  services: [
    {
      name: 'helloworld',
      namespace: 'app1',
      vip: '10.111.0.50',
      ports: [{ name: 'http', number: 5000 }],
      serviceAccounts: ['spiffe://cluster.local/ns/app1/sa/default'],
      endpoints: [
        { address: '10.11.1.5', cluster: 'cluster1', labels: { app: 'helloworld', version: 'v1' } },
        { address: '10.12.1.5', cluster: 'cluster2', labels: { app: 'helloworld', version: 'v2' } },
      ],
    },
    {
      name: 'sleep',
      namespace: 'app1',
      vip: '10.111.0.51',
      ports: [{ name: 'http', number: 80, target: 8080 }],
      endpoints: [{ address: '127.0.0.1', labels: { app: 'sleep' } }],
    },
    {
      name: 'mysql',
      namespace: 'app1',
      vip: '10.111.0.52',
      ports: [
        { name: 'mysql', number: 3306 },
        { name: 'web', number: 8000 },
        { name: 'https-admin', number: 8443 },
        { name: 'grpc-api', number: 9000 },
      ],
      endpoints: [{ address: '127.0.0.1', tlsMode: 'disabled' }],
    },
    {
      name: 'peers',
      namespace: 'app1',
      headless: true,
      ports: [
        { name: 'tcp-gossip', number: 7946 },
        { name: 'http-ui', number: 7000 },
      ],
      endpoints: [{ address: '10.11.1.7' }, { address: '10.11.1.8' }],
    },
  ],
  configs: [
    fixtureConfig(
      'VirtualService',
      'helloworld',
      {
        hosts: ['helloworld'],
        http: [
          {
            name: 'canary',
            match: [
              {
                uri: { prefix: '/hello' },
                headers: { 'x-canary': { exact: '1' } },
                withoutHeaders: { 'x-stable': {} },
                queryParams: { debug: { regex: 'o[nk]' } },
              },
            ],
            route: [
              { destination: { host: 'helloworld', subset: 'v2' }, headers: { request: { set: { host: 'foo' } } } },
            ],
            rewrite: { uri: '/' },
            timeout: '5s',
            retries: { attempts: 3, perTryTimeout: '1s', retryOn: '503,reset' },
            fault: { delay: { fixedDelay: '1s', percentage: { value: 0.1 } }, abort: { httpStatus: 500 } },
            mirror: { host: 'helloworld', subset: 'v1' },
            mirrorPercentage: { value: 10 },
            corsPolicy: { allowOrigins: [{ exact: 'https://a.example' }], maxAge: '24h', allowMethods: ['GET'] },
          },
          {
            match: [{ uri: { exact: '/old' } }],
            redirect: { uri: '/new', scheme: 'https', port: 443, redirectCode: 308 },
          },
          {
            match: [{ uri: { exact: '/teapot' } }],
            directResponse: { status: 418, body: { string: 'short and stout' } },
          },
          {
            route: [
              { destination: { host: 'helloworld', subset: 'v1' }, weight: 25 },
              { destination: { host: 'helloworld', subset: 'v2' }, weight: 75 },
            ],
            headers: { response: { add: { 'x-served-by': 'mesh' }, remove: ['server'] } },
          },
        ],
      },
      { namespace: 'app1' },
    ),
    fixtureConfig(
      'DestinationRule',
      'helloworld',
      {
        host: 'helloworld',
        trafficPolicy: {
          tls: { mode: 'ISTIO_MUTUAL' },
          outlierDetection: { consecutive5xxErrors: 7, interval: '5s' },
          connectionPool: { tcp: { maxConnections: 100, connectTimeout: '3s' }, http: { idleTimeout: '30s' } },
        },
        subsets: [
          ...SUBSETS,
          {
            name: 'sticky',
            trafficPolicy: { loadBalancer: { consistentHash: { httpCookie: { name: 'c', ttl: '0s' } } } },
          },
        ],
      },
      { namespace: 'app1' },
    ),
    fixtureConfig('PeerAuthentication', 'strict', { mtls: { mode: 'STRICT' } }, { namespace: 'app1' }),
    fixtureConfig(
      'PeerAuthentication',
      'mysql',
      {
        selector: { matchLabels: { app: 'sleep' } },
        portLevelMtls: { 9000: { mode: 'PERMISSIVE' }, 9999: { mode: 'DISABLE' } },
      },
      { namespace: 'app1' },
    ),
  ],
};
