import {
  isHeadless,
  isHttpProtocol,
  type Labels,
  type Service,
  type ServicePort,
  serviceAddresses,
  serviceKey,
  UNSPECIFIED_ADDRESS,
} from '@meltemi/model';
import type { Listener } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { familiesOf } from '../ip-families.ts';
import type { TranslationMemo } from '../memo.ts';
import { listenerName } from '../names.ts';
import { destinationsOf } from '../outbound.ts';
import { featuresKey, type ProxyNode } from '../proxy-node.ts';
import { buildL4Routes, type L4Route, type L4RoutesInput } from '../routes/l4-routes.ts';
import type { NamespaceScope } from '../scope/namespace-scope.ts';
import { resolveTrafficPolicy } from '../scope/traffic-policy.ts';
import type { Translated } from '../translated.ts';
import { buildOutboundListener, type L4Destination, type OutboundListenerInput } from './outbound-listener.ts';

interface Draft {
  readonly bind: string;
  readonly port: number;
  routeName: string | undefined;
  readonly destinations: L4Destination[];
}

/** Ports that belong to the sidecar itself: status, metrics and the two capture listeners. */
function reservedPorts(scope: NamespaceScope): ReadonlySet<number> {
  const { meshConfig } = scope.snapshot;
  return new Set([
    meshConfig.proxyListenPort,
    meshConfig.proxyInboundListenPort,
    meshConfig.proxyHttpPort,
    meshConfig.defaultConfig.statusPort,
    PROMETHEUS_PORT,
  ]);
}

const PROMETHEUS_PORT = 15090;
const NO_LABELS: Labels = {};

/** Builds one listener per destination address and port that the proxy may call. */
export function buildOutboundListeners(
  scope: NamespaceScope,
  node: ProxyNode,
  memo: TranslationMemo,
): readonly Translated<Listener>[] {
  const drafts = new Map<string, Draft>();
  const reserved = reservedPorts(scope);
  for (const service of byAge(scope)) {
    for (const port of service.ports) {
      if (port.protocol === 'udp') continue;
      for (const bind of bindAddresses(scope, node, service, port)) {
        if (bind === UNSPECIFIED_ADDRESS && reserved.has(port.number)) continue;
        addToDraft(drafts, bind, service, port, () => toDestination(scope, node, service, port, memo));
      }
    }
  }
  const { meshConfig } = scope.snapshot;
  const features = featuresKey(node.features);
  const families = familiesOf(node.addresses);
  return [...drafts.values()].map((draft) => {
    const input: OutboundListenerInput = { ...draft, meshConfig, features, families };
    return memo.resolve(buildOutboundListener, listenerName(draft.bind, draft.port), input);
  });
}

/** Where several services meet on one address, the oldest comes first, whatever the order of names. */
function byAge(scope: NamespaceScope): readonly Service[] {
  return scope.snapshot.services.filter((service) => scope.serviceByHostname.get(service.hostname) === service);
}

/**
 * HTTP shares one listener per port, since the request names the host; everything else is told apart by address.
 */
function bindAddresses(scope: NamespaceScope, node: ProxyNode, service: Service, port: ServicePort): readonly string[] {
  if (isHttpProtocol(port.protocol)) return [UNSPECIFIED_ADDRESS];
  if (isHeadless(service)) return endpointAddresses(scope, node, service);
  return serviceAddresses(service, node.clusterId).map((address) =>
    address.includes('/') ? UNSPECIFIED_ADDRESS : address,
  );
}

function endpointAddresses(scope: NamespaceScope, node: ProxyNode, service: Service): readonly string[] {
  const shards = scope.snapshot.endpoints.get(serviceKey(service));
  const serving = [...(shards?.values() ?? [])].flat().filter(({ health }) => health !== 'terminating');
  return [...new Set(serving.map(({ address }) => address))].filter((address) => !node.addresses.includes(address));
}

function addToDraft(
  drafts: Map<string, Draft>,
  bind: string,
  service: Service,
  port: ServicePort,
  destination: () => L4Destination,
): void {
  const name = listenerName(bind, port.number);
  const draft = drafts.get(name) ?? { bind, port: port.number, routeName: undefined, destinations: [] };
  drafts.set(name, draft);
  if (isHttpProtocol(port.protocol)) {
    draft.routeName = String(port.number);
    return;
  }
  const hasCatchAll = draft.destinations.some(
    (known) => known.port.protocol !== 'tls' && known.port.protocol !== 'https',
  );
  // Two plain TCP services cannot be told apart on one address: the older keeps it.
  if (hasCatchAll && port.protocol !== 'tls' && port.protocol !== 'https') return;
  draft.destinations.push(destination());
  if (port.protocol !== 'auto') return;
  draft.routeName ??= bind === UNSPECIFIED_ADDRESS ? String(port.number) : sniffedRouteName(service, port);
}

/** `<hostname>:<port>`: the route configuration of one service whose protocol is detected. */
export function sniffedRouteName(service: Service, port: ServicePort): string {
  return `${service.hostname}:${port.number}`;
}

function toDestination(
  scope: NamespaceScope,
  node: ProxyNode,
  service: Service,
  port: ServicePort,
  memo: TranslationMemo,
): L4Destination {
  const { connectionPool, loadBalancer } = resolveTrafficPolicy({
    policy: scope.destinationRuleOf(service, node.labels)?.trafficPolicy,
    subsetPolicy: undefined,
    port: port.number,
    meshDefaults: scope.snapshot.meshConfig.defaultTrafficPolicy,
  });
  const virtualServices = scope.virtualServices.filter(
    ({ spec }) => (spec.tcp?.length ?? 0) + (spec.tls?.length ?? 0) > 0,
  );
  const input: L4RoutesInput = {
    service,
    port,
    virtualServices,
    proxyNamespace: node.namespace,
    // Without rules nothing depends on labels, and proxies may share the result.
    proxyLabels: virtualServices.length === 0 ? NO_LABELS : node.labels,
    domainSuffix: scope.snapshot.domainSuffix,
    destinations: destinationsOf({ scope, node, memo }, [], virtualServices),
  };
  const routes: readonly L4Route[] = memo.resolve(buildL4Routes, sniffedRouteName(service, port), input);
  return memo.resolve(joinDestination, sniffedRouteName(service, port), {
    service,
    port,
    routes,
    idleTimeout: connectionPool?.tcp?.idleTimeout,
    maxConnectionDuration: connectionPool?.tcp?.maxConnectionDuration,
    hashesSourceIp: loadBalancer?.consistentHash?.useSourceIp === true,
  });
}

/** Through the memo, so that an unchanged destination is the same object and its listener is not built anew. */
function joinDestination(destination: L4Destination): L4Destination {
  return destination;
}
