import { X509Certificate } from 'node:crypto';

/** A message of Envoy's admin interface; its readers look for what they need and accept absence. */
export type Json = Readonly<Record<string, unknown>>;

/** The dump of one kind of resource in Envoy's /config_dump. */
function dumpOf(configDump: Json, typeName: string): Json {
  const dumps = (configDump['configs'] ?? []) as readonly Json[];
  return dumps.find((dump) => String(dump['@type']).endsWith(`.${typeName}`)) ?? {};
}

function list(value: unknown): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : [];
}

function child(value: Json | undefined, ...names: readonly string[]): Json | undefined {
  let current: unknown = value;
  for (const name of names) current = (current as Json | undefined)?.[name];
  return current as Json | undefined;
}

function clusterResources(dump: Json): Json[] {
  const clusters = dumpOf(dump, 'ClustersConfigDump');
  return [...list(clusters['static_clusters']), ...list(clusters['dynamic_active_clusters'])]
    .map((entry) => child(entry, 'cluster'))
    .filter((cluster) => cluster !== undefined)
    .sort((left, right) => (clusterCells(left).join() < clusterCells(right).join() ? -1 : 1));
}

function clusterCells(cluster: Json): string[] {
  const name = String(cluster['name']);
  const [direction = '', port = '', subset = '', host = ''] = name.split('|');
  const type = String(cluster['type'] ?? 'STATIC');
  return name.includes('|') ? [host, port, subset, direction, type] : [name, '', '', '', type];
}

function addressText(value: Json | undefined): string {
  const socket = child(value, 'socket_address');
  if (socket !== undefined) return `${String(socket['address'])}:${String(socket['port_value'] ?? 0)}`;
  const pipe = child(value, 'pipe');
  return pipe === undefined ? '' : `unix://${String(pipe['path'])}`;
}

function chainDestination(chain: Json): string {
  for (const filter of list(chain['filters'])) {
    const config = child(filter, 'typed_config');
    if (config === undefined) continue;
    const routeName = child(config, 'rds')?.['route_config_name'];
    if (routeName !== undefined) return `Route: ${String(routeName)}`;
    const inline = child(config, 'route_config');
    if (inline !== undefined) return `Inline Route: ${String(inline['name'] ?? '')}`.trimEnd();
    if (config['cluster'] !== undefined) return `Cluster: ${String(config['cluster'])}`;
    if (config['weighted_clusters'] !== undefined) return 'Weighted clusters';
  }
  return '-';
}

function chainMatch(chain: Json): string {
  const match = child(chain, 'filter_chain_match');
  if (match === undefined) return 'ALL';
  const parts: string[] = [];
  if (match['transport_protocol'] !== undefined) parts.push(`Trans: ${String(match['transport_protocol'])}`);
  if (match['application_protocols'] !== undefined)
    parts.push(`App: ${(match['application_protocols'] as string[]).join(',')}`);
  if (match['server_names'] !== undefined) parts.push(`SNI: ${(match['server_names'] as string[]).join(',')}`);
  if (match['destination_port'] !== undefined) parts.push(`Port: ${String(match['destination_port'])}`);
  for (const range of list(match['prefix_ranges']))
    parts.push(`Addr: ${String(range['address_prefix'])}/${String(range['prefix_len'])}`);
  return parts.length === 0 ? 'ALL' : parts.join('; ');
}

function listenerResources(dump: Json): Json[] {
  const listeners = dumpOf(dump, 'ListenersConfigDump');
  return [
    ...list(listeners['static_listeners']).map((entry) => child(entry, 'listener')),
    ...list(listeners['dynamic_listeners']).map((entry) => child(entry, 'active_state', 'listener')),
  ].filter((listener) => listener !== undefined);
}

function listenerRows(listener: Json): string[][] {
  const fallback = child(listener, 'default_filter_chain');
  return [...list(listener['filter_chains']), ...(fallback === undefined ? [] : [fallback])].map((chain) => [
    String(listener['name'] ?? ''),
    addressText(child(listener, 'address')),
    chainMatch(chain),
    chainDestination(chain),
  ]);
}

function routeTarget(route: Json): string {
  const action = child(route, 'route');
  if (action !== undefined) {
    if (action['cluster'] !== undefined) return String(action['cluster']);
    const weighted = list(child(action, 'weighted_clusters')?.['clusters']);
    return weighted.map((cluster) => `${String(cluster['name'])} (${String(cluster['weight'] ?? 0)})`).join(', ');
  }
  if (route['redirect'] !== undefined) return 'redirect';
  const direct = child(route, 'direct_response');
  return direct === undefined ? '' : `direct response ${String(direct['status'])}`;
}

function routeMatchText(route: Json): string {
  const match = child(route, 'match') ?? {};
  const path =
    match['prefix'] !== undefined
      ? `${String(match['prefix'])}*`
      : match['path'] !== undefined
        ? String(match['path'])
        : match['path_separated_prefix'] !== undefined
          ? `${String(match['path_separated_prefix'])}/*`
          : String(child(match, 'safe_regex')?.['regex'] ?? '/*');
  return list(match['headers']).length === 0
    ? path
    : `${path} with ${list(match['headers'])
        .map((header) => String(header['name']))
        .join(', ')}`;
}

function routeResources(dump: Json): Json[] {
  const routes = dumpOf(dump, 'RoutesConfigDump');
  return [...list(routes['static_route_configs']), ...list(routes['dynamic_route_configs'])]
    .map((entry) => child(entry, 'route_config'))
    .filter((config) => config !== undefined);
}

function routeRows(config: Json): string[][] {
  return list(config['virtual_hosts']).flatMap((host) =>
    list(host['routes']).map((route) => [
      String(config['name'] ?? ''),
      String(host['name']),
      ((host['domains'] ?? []) as string[]).slice(0, 3).join(', '),
      routeMatchText(route),
      routeTarget(route),
    ]),
  );
}

function endpointRows(cluster: Json): string[][] {
  return list(cluster['host_statuses']).map((host) => {
    const health = child(host, 'health_status') ?? {};
    return [
      addressText(child(host, 'address')),
      String(health['eds_health_status'] ?? 'HEALTHY'),
      health['failed_outlier_check'] === true ? 'FAILED' : 'OK',
      String(cluster['name']),
    ];
  });
}

function pemBlocks(base64: unknown): string[] {
  if (typeof base64 !== 'string') return [];
  return (
    Buffer.from(base64, 'base64')
      .toString('utf8')
      .match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  );
}

function secretResources(dump: Json): Json[] {
  const secrets = dumpOf(dump, 'SecretsConfigDump');
  return [...list(secrets['static_secrets']), ...list(secrets['dynamic_active_secrets'])];
}

function secretName(entry: Json): string {
  return String(entry['name'] ?? child(entry, 'secret', 'name') ?? '');
}

/** Of a certificate chain the leaf is shown, of a bundle the first root. */
function secretCells(entry: Json): string[] {
  const secret = child(entry, 'secret') ?? {};
  const chain = child(secret, 'tls_certificate', 'certificate_chain')?.['inline_bytes'];
  const roots = child(secret, 'validation_context', 'trusted_ca')?.['inline_bytes'];
  const type = chain === undefined ? 'CA' : 'Cert Chain';
  const [pem] = pemBlocks(chain ?? roots);
  if (pem === undefined) return [secretName(entry), type, 'WARMING', '', '', '', ''];
  const certificate = new X509Certificate(pem);
  return [
    secretName(entry),
    type,
    'ACTIVE',
    certificate.serialNumber.toLowerCase(),
    certificate.validFromDate.toISOString().replace('.000', ''),
    certificate.validToDate.toISOString().replace('.000', ''),
    certificate.subjectAltName ?? '',
  ];
}

/** One kind of configuration: where a proxy tells it, what of it is a resource, and how that is shown. */
export interface ConfigView {
  /** Page of the proxy's admin interface. */
  readonly page: string;
  readonly about: string;
  readonly headings: readonly string[];
  /** The resources of a page: what `-o json` shows. */
  readonly resources: (page: Json) => readonly Json[];
  /** The lines of one resource in the table. */
  readonly rows: (resource: Json) => readonly (readonly string[])[];
  readonly nameOf: (resource: Json) => string;
}

function nameField(resource: Json): string {
  return String(resource['name'] ?? '');
}

/** What `meltemi proxy-config` can show. */
export const CONFIG_VIEWS: Readonly<Record<string, ConfigView>> = {
  cluster: {
    page: '/config_dump',
    about: 'the clusters: where requests may go',
    headings: ['SERVICE FQDN', 'PORT', 'SUBSET', 'DIRECTION', 'TYPE'],
    resources: clusterResources,
    rows: (cluster) => [clusterCells(cluster)],
    nameOf: nameField,
  },
  listener: {
    page: '/config_dump',
    about: 'the listeners and their filter chains',
    headings: ['NAME', 'ADDRESS', 'MATCH', 'DESTINATION'],
    resources: listenerResources,
    rows: listenerRows,
    nameOf: nameField,
  },
  route: {
    page: '/config_dump',
    about: 'the routes',
    headings: ['NAME', 'VHOST NAME', 'DOMAINS', 'MATCH', 'TARGET'],
    resources: routeResources,
    rows: routeRows,
    nameOf: nameField,
  },
  endpoint: {
    page: '/clusters?format=json',
    about: 'the endpoints of all clusters and their health',
    headings: ['ENDPOINT', 'STATUS', 'OUTLIER CHECK', 'CLUSTER'],
    resources: (page) => list(page['cluster_statuses']),
    rows: endpointRows,
    nameOf: nameField,
  },
  secret: {
    page: '/config_dump',
    about: 'the certificates and trust bundles',
    headings: ['RESOURCE NAME', 'TYPE', 'STATUS', 'SERIAL NUMBER', 'NOT BEFORE', 'NOT AFTER', 'SUBJECT ALT NAME'],
    resources: secretResources,
    rows: (entry) => [secretCells(entry)],
    nameOf: secretName,
  },
};
