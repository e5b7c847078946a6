import type { GatewayServer, GatewaySpec } from '@meltemi/api';
import {
  type ConfigResource,
  type Labels,
  matchHosts,
  matchLabels,
  type ServiceInstance,
  UNSPECIFIED_ADDRESS,
} from '@meltemi/model';

/** A Gateway resource. */
export type GatewayResource = ConfigResource<GatewaySpec>;

/** What a port's connections begin with: decides which servers can share it. */
export type ServerFamily = 'http' | 'tls' | 'tcp';

/** One server of a Gateway, on one port of the proxies that serve it. */
export interface RouterServer {
  readonly resource: GatewayResource;
  /** `<namespace>/<name>` of the Gateway, as VirtualServices refer to it. */
  readonly gateway: string;
  /** Path of the server in the Gateway. */
  readonly fieldPath: string;
  readonly server: GatewayServer;
  readonly mode: NonNullable<GatewayServer['tls']>['mode'];
}

/** One address and port that a router listens on. */
export interface RouterPort {
  readonly bind: string;
  /** What the proxy listens on: the target of the Service's port. */
  readonly targetPort: number;
  readonly family: ServerFamily;
  /** In the order of their Gateways' age; all of one family. */
  readonly servers: readonly RouterServer[];
}

/** What a router's ports are made from. */
export interface RouterPortsInput {
  /** Oldest first. */
  readonly gateways: readonly GatewayResource[];
  readonly labels: Labels;
  /** The Services that the router is behind. */
  readonly instances: readonly ServiceInstance[];
  /** Whether the pod may not bind ports below 1024. */
  readonly isUnprivileged: boolean;
}

const FIRST_UNPRIVILEGED_PORT = 1024;
const PLAIN_HTTP: ReadonlySet<string> = new Set(['http', 'http2', 'grpc', 'grpc-web']);
const KEEPS_PORT_LABEL = 'experimental.istio.io/disable-gateway-port-translation';

/**
 * Merges all Gateways that select a router, as Istio does: the first server on an address and port decides what is
 * spoken there, later ones join it when they speak the same; of TLS servers each has hosts of its own.
 */
export function resolveRouterPorts(input: RouterPortsInput): readonly RouterPort[] {
  const ports = new Map<string, RouterPort & { readonly servers: RouterServer[] }>();
  for (const server of input.gateways.flatMap((resource) => serversOf(resource, input.labels))) {
    const { bind = UNSPECIFIED_ADDRESS, port } = server.server;
    // A socket's path is not served yet.
    if (bind.startsWith('unix://')) continue;
    const family = familyOf(server);
    for (const targetPort of targetPortsOf(port.number, input.instances)) {
      if (input.isUnprivileged && targetPort < FIRST_UNPRIVILEGED_PORT) continue;
      const key = `${bind} ${targetPort}`;
      const known = ports.get(key);
      if (known === undefined) ports.set(key, { bind, targetPort, family, servers: [server] });
      else if (canShare(known, family, server)) known.servers.push(server);
    }
  }
  return [...ports.values()];
}

function serversOf(resource: GatewayResource, labels: Labels): readonly RouterServer[] {
  const { selector, servers = [] } = resource.spec;
  if (!matchLabels(selector, labels)) return [];
  return servers.map((server, index) => ({
    resource,
    gateway: `${resource.namespace}/${resource.name}`,
    fieldPath: `spec.servers[${index}]`,
    server,
    mode: server.tls === undefined ? undefined : (server.tls.mode ?? 'PASSTHROUGH'),
  }));
}

function familyOf({ server }: RouterServer): ServerFamily {
  const protocol = server.port.protocol.toLowerCase();
  if (PLAIN_HTTP.has(protocol)) return 'http';
  return protocol === 'https' || protocol === 'tls' || server.tls !== undefined ? 'tls' : 'tcp';
}

function canShare(port: RouterPort, family: ServerFamily, server: RouterServer): boolean {
  if (port.family !== family || family === 'tcp') return false;
  if (family === 'http') return true;
  const hosts = serverHosts(server);
  return !port.servers.some((known) => serverHosts(known).some((host) => hosts.includes(host)));
}

/** The hosts of a server, without the namespaces that may claim them. */
export function serverHosts({ server }: RouterServer): readonly string[] {
  return (server.hosts ?? []).map((host) => host.slice(host.indexOf('/') + 1));
}

/**
 * The hosts for which a server takes the routes of a VirtualService: where both have wildcards, the narrower.
 *
 * @param hosts Of the VirtualService.
 */
export function intersectHosts(
  { server, resource }: RouterServer,
  hosts: readonly string[],
  namespace: string,
): readonly string[] {
  const found = new Set<string>();
  for (const pattern of server.hosts ?? []) {
    const separator = pattern.indexOf('/');
    const owner = separator < 0 ? '*' : pattern.slice(0, separator);
    if (owner !== '*' && namespace !== (owner === '.' ? resource.namespace : owner)) continue;
    const served = pattern.slice(separator + 1);
    for (const host of hosts) if (matchHosts(served, host)) found.add(isNarrower(host, served) ? host : served);
  }
  return [...found];
}

function isNarrower(host: string, other: string): boolean {
  if (host.startsWith('*') !== other.startsWith('*')) return other.startsWith('*');
  return host.length >= other.length;
}

/** A Gateway says ports of the Service; a proxy listens on what they lead to. */
function targetPortsOf(number: number, instances: readonly ServiceInstance[]): readonly number[] {
  const found = new Set<number>();
  for (const { service, endpoint } of instances) {
    if (service.attributes.labels[KEEPS_PORT_LABEL] !== undefined) continue;
    for (const port of service.ports) {
      if (port.number !== number) continue;
      const target = endpoint.ports.get(port.name);
      if (target !== undefined) found.add(target);
    }
  }
  return found.size === 0 ? [number] : [...found];
}
