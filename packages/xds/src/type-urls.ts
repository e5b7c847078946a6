/** The type URLs of the resources that ADS carries. */
export const TYPE_URLS = {
  cluster: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  endpoint: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  listener: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  route: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  secret: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
  /** Asked for by agents, never by proxies. */
  nameTable: 'type.googleapis.com/istio.networking.nds.v1.NameTable',
  /** The roots that peers may chain to. Asked for by agents, never by proxies. */
  proxyConfig: 'type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig',
} as const;

/** What an agent says of its application's health; it has the form of a request, and no resources. */
export const HEALTH_INFORMATION = 'type.googleapis.com/istio.v1.HealthInformation';

/** One of the type URLs above. */
export type TypeUrl = (typeof TYPE_URLS)[keyof typeof TYPE_URLS];

/** The order in which changes are sent on one stream: what is referred to goes before what refers to it. */
export const PUSH_ORDER: readonly string[] = [
  TYPE_URLS.cluster,
  TYPE_URLS.endpoint,
  TYPE_URLS.listener,
  TYPE_URLS.route,
  TYPE_URLS.secret,
  TYPE_URLS.nameTable,
  TYPE_URLS.proxyConfig,
];

/** Types of which a client without names gets everything. */
export const WILDCARD_TYPES: ReadonlySet<string> = new Set<string>([
  TYPE_URLS.cluster,
  TYPE_URLS.listener,
  TYPE_URLS.nameTable,
  TYPE_URLS.proxyConfig,
]);

const SHORT_NAMES: Readonly<Record<string, string>> = {
  [TYPE_URLS.cluster]: 'CDS',
  [TYPE_URLS.endpoint]: 'EDS',
  [TYPE_URLS.listener]: 'LDS',
  [TYPE_URLS.route]: 'RDS',
  [TYPE_URLS.secret]: 'SDS',
  [TYPE_URLS.nameTable]: 'NDS',
  [TYPE_URLS.proxyConfig]: 'PCDS',
};

/** `CDS`, `EDS`, …; the type URL itself for any other type. */
export function shortTypeName(typeUrl: string): string {
  return SHORT_NAMES[typeUrl] ?? typeUrl;
}
