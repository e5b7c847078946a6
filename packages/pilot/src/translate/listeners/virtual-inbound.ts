import { create } from '@bufbuild/protobuf';
import type { MeshConfig } from '@meltemi/api';
import { isHttpProtocol, type Protocol, type Service, type ServicePort } from '@meltemi/model';
import { TrafficDirection } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type { FilterChainSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_components_pb.js';
import { type Listener, ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { toAddress } from '../addresses.ts';
import {
  BLACK_HOLE_CLUSTER,
  INBOUND_PASSTHROUGH_CLUSTER,
  inboundClusterName,
  listenerName,
  VIRTUAL_INBOUND,
} from '../names.ts';
import { type Init, join } from '../protobuf-values.ts';
import { type ProxyFeatures, parseFeaturesKey } from '../proxy-node.ts';
import { buildInboundRoutes } from '../routes/inbound-routes.ts';
import { type MtlsMode, mtlsModeOfPort, type WorkloadMtls } from '../scope/peer-authentication.ts';
import { serviceSource, type Translated } from '../translated.ts';
import { buildListenerAccessLogs } from './access-log.ts';
import { buildMeshServerTls } from './downstream-tls.ts';
import { buildHttpConnectionManager } from './http-connection-manager.ts';
import { type InboundChainMatch, type InboundProtocol, inboundChainMatches } from './inbound-chain-matches.ts';
import { detectionTimeout, httpInspector, originalDst, tlsInspector } from './listener-filters.ts';
import { buildTcpProxy, buildTcpTelemetry } from './tcp-proxy.ts';

type FilterChainInit = Init<typeof FilterChainSchema>;

/** A port of the workload that services lead to. */
export interface InboundPort {
  readonly targetPort: number;
  /** Of the oldest service. */
  readonly port: ServicePort;
  /** Oldest first, at least one. */
  readonly services: readonly Service[];
}

/** Everything that the inbound listener is made of. */
export interface VirtualInboundInput {
  /** By target port. */
  readonly ports: readonly InboundPort[];
  readonly mtls: WorkloadMtls;
  readonly meshConfig: MeshConfig;
  readonly features: string;
}

/** Where connections to one group of inbound chains go. */
interface InboundTarget {
  readonly chainName: string;
  readonly httpChainName: string;
  readonly destinationPort: number | undefined;
  readonly cluster: string;
  readonly statPrefix: string;
  readonly servicePort: number;
  readonly operation: string;
  readonly isGrpc: boolean;
}

const ANY_ADDRESS = '0.0.0.0';
const BLACK_HOLE_CHAIN = 'virtualInbound-blackhole';
const CATCH_ALL_HTTP_CHAIN = 'virtualInbound-catchall-http';

/** Builds the listener that takes every captured inbound connection. */
export function buildVirtualInbound(input: VirtualInboundInput): Translated<Listener> {
  const { ports, mtls, meshConfig } = input;
  const features = parseFeaturesKey(input.features);
  const listenPort = meshConfig.proxyInboundListenPort;
  const covered = new Set(ports.map((inbound) => inbound.targetPort));
  const ownModePorts = [...mtls.ports.keys()].filter((port) => !covered.has(port));
  const filterChains = [
    buildBlackHole(listenPort, meshConfig),
    ...buildChains(passthroughTarget(undefined), mtls.mode, 'auto', { meshConfig, features }),
    ...ownModePorts.flatMap((port) =>
      buildChains(passthroughTarget(port), mtlsModeOfPort(mtls, port), 'auto', { meshConfig, features }),
    ),
    ...ports.flatMap((inbound) =>
      buildChains(
        serviceTarget(inbound),
        mtlsModeOfPort(mtls, inbound.targetPort),
        inboundProtocol(inbound.port.protocol),
        { meshConfig, features },
      ),
    ),
  ];
  const resource = create(
    ListenerSchema,
    join<typeof ListenerSchema>(
      {
        name: VIRTUAL_INBOUND,
        address: toAddress(ANY_ADDRESS, listenPort),
        trafficDirection: TrafficDirection.INBOUND,
        filterChains,
        listenerFilters: buildListenerFilters(input),
        accessLog: buildListenerAccessLogs(meshConfig),
      },
      detectionTimeout(meshConfig),
    ),
  );
  const services = ports.flatMap((inbound) => inbound.services);
  return {
    name: VIRTUAL_INBOUND,
    resource,
    sources: [...new Set(services)].map((service) => serviceSource(service)).concat(mtls.sources),
  };
}

function inboundProtocol(protocol: Protocol): InboundProtocol {
  if (protocol === 'auto') return 'auto';
  return isHttpProtocol(protocol) ? 'http' : 'tcp';
}

/** Nothing may be sent to the listener itself: it would call itself for ever. */
function buildBlackHole(listenPort: number, meshConfig: MeshConfig): FilterChainInit {
  return {
    name: BLACK_HOLE_CHAIN,
    filterChainMatch: { destinationPort: listenPort },
    filters: [
      buildTcpProxy({
        targets: [{ cluster: BLACK_HOLE_CLUSTER, weight: 1 }],
        statPrefix: BLACK_HOLE_CLUSTER,
        meshConfig,
      }),
    ],
  };
}

function passthroughTarget(destinationPort: number | undefined): InboundTarget {
  return {
    chainName: VIRTUAL_INBOUND,
    httpChainName: CATCH_ALL_HTTP_CHAIN,
    destinationPort,
    cluster: INBOUND_PASSTHROUGH_CLUSTER,
    statPrefix: INBOUND_PASSTHROUGH_CLUSTER,
    servicePort: 0,
    operation: ':0/*',
    isGrpc: false,
  };
}

function serviceTarget({ targetPort, port, services }: InboundPort): InboundTarget {
  const chainName = listenerName(ANY_ADDRESS, targetPort);
  return {
    chainName,
    httpChainName: chainName,
    destinationPort: targetPort,
    cluster: inboundClusterName(targetPort),
    statPrefix: `inbound_${chainName}`,
    servicePort: port.number,
    operation: `${services[0]?.hostname ?? ''}:${port.number}/*`,
    isGrpc: port.protocol === 'grpc' || port.protocol === 'grpc-web',
  };
}

function buildChains(
  target: InboundTarget,
  mode: MtlsMode,
  protocol: InboundProtocol,
  context: { readonly meshConfig: MeshConfig; readonly features: ProxyFeatures },
): FilterChainInit[] {
  return inboundChainMatches(mode, protocol).map((match) => buildChain(target, match, context));
}

function buildChain(
  target: InboundTarget,
  match: InboundChainMatch,
  { meshConfig, features }: { readonly meshConfig: MeshConfig; readonly features: ProxyFeatures },
): FilterChainInit {
  const isHttp = match.kind === 'http';
  return {
    name: isHttp ? target.httpChainName : target.chainName,
    filterChainMatch: {
      transportProtocol: match.transport,
      applicationProtocols: [...match.alpn],
      ...(target.destinationPort === undefined ? {} : { destinationPort: target.destinationPort }),
    },
    ...(match.endsTls ? { transportSocket: buildMeshServerTls(meshConfig, match.kind) } : {}),
    filters: isHttp
      ? [
          buildHttpConnectionManager({
            direction: 'inbound',
            statPrefix: target.statPrefix,
            routes: buildInboundRoutes(target),
            meshConfig,
            features,
          }),
        ]
      : [
          ...buildTcpTelemetry(features, true),
          buildTcpProxy({
            targets: [{ cluster: target.cluster, weight: 1 }],
            statPrefix: target.cluster,
            meshConfig,
          }),
        ],
  };
}

/** Detection is switched off where the answer is known, so that protocols in which the server speaks first work. */
function buildListenerFilters({ ports, mtls, meshConfig }: VirtualInboundInput) {
  const plain = ports.filter((inbound) => mtlsModeOfPort(mtls, inbound.targetPort) === 'DISABLE');
  const declared = ports.filter((inbound) => inboundProtocol(inbound.port.protocol) !== 'auto');
  const ownPort = meshConfig.proxyInboundListenPort;
  return [
    originalDst(),
    tlsInspector([ownPort, ...plain.map((inbound) => inbound.targetPort)]),
    httpInspector([ownPort, ...declared.map((inbound) => inbound.targetPort)]),
  ];
}
