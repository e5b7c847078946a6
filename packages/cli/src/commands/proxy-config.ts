import { X509Certificate } from 'node:crypto';
import type { Command } from 'commander';
import { CommandError, EXIT } from '../exit-code.ts';
import { askProxy } from '../mesh-request.ts';
import { formatTable } from '../output.ts';
import { type ClusterFlags, type CommandContext, resolvePod, withSession } from '../session.ts';

interface ProxyConfigFlags extends ClusterFlags {
  readonly output: string;
}

type Json = Readonly<Record<string, unknown>>;

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

function clusterRows(dump: Json): string[][] {
  const clusters = dumpOf(dump, 'ClustersConfigDump');
  return [...list(clusters['static_clusters']), ...list(clusters['dynamic_active_clusters'])]
    .map((entry) => child(entry, 'cluster') as Json)
    .map((cluster) => {
      const [direction = '', port = '', subset = '', host = ''] = String(cluster['name']).split('|');
      const isService = String(cluster['name']).includes('|');
      return [
        isService ? (host === '' ? '-' : host) : String(cluster['name']),
        isService ? port : '-',
        subset === '' ? '-' : subset,
        isService ? direction : '-',
        String(cluster['type'] ?? 'STATIC'),
      ];
    })
    .sort((left, right) => (left.join() < right.join() ? -1 : 1));
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
    if (inline !== undefined) return `Inline Route: ${String(inline['name'] ?? '')}`;
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

function listenerRows(dump: Json): string[][] {
  const listeners = dumpOf(dump, 'ListenersConfigDump');
  const resources = [
    ...list(listeners['static_listeners']).map((entry) => child(entry, 'listener') as Json),
    ...list(listeners['dynamic_listeners'])
      .map((entry) => child(entry, 'active_state', 'listener'))
      .filter((listener) => listener !== undefined),
  ];
  return resources.flatMap((listener) => {
    const chains = [
      ...list(listener['filter_chains']),
      ...(child(listener, 'default_filter_chain') === undefined
        ? []
        : [child(listener, 'default_filter_chain') as Json]),
    ];
    return chains.map((chain) => [
      String(listener['name'] ?? ''),
      addressText(child(listener, 'address')),
      chainMatch(chain),
      chainDestination(chain),
    ]);
  });
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

function routeRows(dump: Json): string[][] {
  const routes = dumpOf(dump, 'RoutesConfigDump');
  const configs = [...list(routes['static_route_configs']), ...list(routes['dynamic_route_configs'])].map(
    (entry) => child(entry, 'route_config') as Json,
  );
  return configs.flatMap((config) =>
    list(config['virtual_hosts']).flatMap((host) =>
      list(host['routes']).map((route) => [
        String(config['name'] ?? ''),
        String(host['name']),
        ((host['domains'] ?? []) as string[]).slice(0, 3).join(', '),
        routeMatchText(route),
        routeTarget(route),
      ]),
    ),
  );
}

function endpointRows(clusters: Json): string[][] {
  return list(clusters['cluster_statuses']).flatMap((cluster) =>
    list(cluster['host_statuses']).map((host) => {
      const health = child(host, 'health_status') ?? {};
      const state =
        health['eds_health_status'] === undefined || health['eds_health_status'] === 'HEALTHY'
          ? 'HEALTHY'
          : String(health['eds_health_status']);
      return [
        addressText(child(host, 'address')),
        state,
        health['failed_outlier_check'] === true ? 'FAILED' : 'OK',
        String(cluster['name']),
      ];
    }),
  );
}

function pemBlocks(base64: unknown): string[] {
  if (typeof base64 !== 'string') return [];
  return (
    Buffer.from(base64, 'base64')
      .toString('utf8')
      .match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  );
}

/** One row a secret: of a certificate chain the leaf, of a bundle the first root. */
function secretRows(dump: Json): string[][] {
  const secrets = dumpOf(dump, 'SecretsConfigDump');
  return [...list(secrets['static_secrets']), ...list(secrets['dynamic_active_secrets'])].flatMap((entry) => {
    const secret = child(entry, 'secret') ?? {};
    const chain = child(secret, 'tls_certificate', 'certificate_chain')?.['inline_bytes'];
    const roots = child(secret, 'validation_context', 'trusted_ca')?.['inline_bytes'];
    const [pem] = pemBlocks(chain ?? roots);
    if (pem === undefined)
      return [
        [
          String(entry['name'] ?? secret['name'] ?? ''),
          chain === undefined ? 'CA' : 'Cert Chain',
          'WARMING',
          '',
          '',
          '',
          '',
        ],
      ];
    const certificate = new X509Certificate(pem);
    return [
      [
        String(entry['name'] ?? secret['name'] ?? ''),
        chain === undefined ? 'CA' : 'Cert Chain',
        'ACTIVE',
        certificate.serialNumber.toLowerCase(),
        certificate.validFromDate.toISOString().replace('.000', ''),
        certificate.validToDate.toISOString().replace('.000', ''),
        certificate.subjectAltName ?? '',
      ],
    ];
  });
}

const VIEWS = {
  cluster: {
    page: '/config_dump',
    headings: ['SERVICE FQDN', 'PORT', 'SUBSET', 'DIRECTION', 'TYPE'],
    rows: clusterRows,
    about: 'the clusters: where requests may go',
  },
  listener: {
    page: '/config_dump',
    headings: ['NAME', 'ADDRESS', 'MATCH', 'DESTINATION'],
    rows: listenerRows,
    about: 'the listeners and their filter chains',
  },
  route: {
    page: '/config_dump',
    headings: ['NAME', 'VHOST NAME', 'DOMAINS', 'MATCH', 'TARGET'],
    rows: routeRows,
    about: 'the routes',
  },
  endpoint: {
    page: '/clusters?format=json',
    headings: ['ENDPOINT', 'STATUS', 'OUTLIER CHECK', 'CLUSTER'],
    rows: endpointRows,
    about: 'the endpoints of all clusters and their health',
  },
  secret: {
    page: '/config_dump',
    headings: ['RESOURCE NAME', 'TYPE', 'STATUS', 'SERIAL NUMBER', 'NOT BEFORE', 'NOT AFTER', 'SUBJECT ALT NAME'],
    rows: secretRows,
    about: 'the certificates and trust bundles',
  },
} as const;

/** `meltemi proxy-config`: what the proxy of a pod runs with. */
export function addProxyConfigCommand(program: Command, context: CommandContext): void {
  const group = program.command('proxy-config').alias('pc').description('Show what the proxy of a pod runs with');
  for (const [name, view] of Object.entries(VIEWS)) {
    group
      .command(name)
      .description(`Show ${view.about}`)
      .argument('<target>', 'POD, POD.NAMESPACE or deploy/NAME')
      .option('-o, --output <format>', 'table or json', 'table')
      .addHelpText(
        'after',
        `\nExamples:\n  meltemi proxy-config ${name} -n app1 deploy/sleep\n  meltemi proxy-config ${name} sleep-5d8f9c-x2x4z.app1 -o json`,
      )
      .action(async (target: string, _own: unknown, command: Command) => {
        const flags = command.optsWithGlobals<ProxyConfigFlags>();
        if (flags.output !== 'table' && flags.output !== 'json')
          throw new CommandError(EXIT.usage, `Unknown output "${flags.output}"; known are table, json`);
        await withSession(context, flags, async (session) => {
          const { client } = session.cluster;
          const text = await askProxy(client, await resolvePod(client, target, session.namespace), view.page);
          // Envoy's admin interface; every reader above looks for what it needs and accepts absence.
          const page = JSON.parse(text) as Json;
          if (flags.output === 'json') context.terminal.out(`${JSON.stringify(page, null, 2)}\n`);
          else context.terminal.out(formatTable(view.headings, view.rows(page)));
        });
      });
  }
}
