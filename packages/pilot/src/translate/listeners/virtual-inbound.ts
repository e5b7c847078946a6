import { create } from '@bufbuild/protobuf';
import type { MeshConfig } from '@meltemi/api';
import { TrafficDirection } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type { FilterChainSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_components_pb.js';
import { type Listener, ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { anyAddressOf, type IpFamilies, toAnyAddress } from '../ip-families.ts';
import { BLACK_HOLE_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER, VIRTUAL_INBOUND } from '../names.ts';
import { type Init, join } from '../protobuf-values.ts';
import { parseFeaturesKey } from '../proxy-node.ts';
import { mtlsModeOfPort, type WorkloadMtls } from '../scope/peer-authentication.ts';
import { serviceSource, type Translated } from '../translated.ts';
import { buildListenerAccessLogs } from './access-log.ts';
import { buildChains, type InboundPort, type InboundTarget, inboundProtocol, serviceTarget } from './inbound-chains.ts';
import { detectionTimeout, httpInspector, originalDst, originalSrc, tlsInspector } from './listener-filters.ts';
import { buildTcpProxy } from './tcp-proxy.ts';

type FilterChainInit = Init<typeof FilterChainSchema>;

/** Everything that the inbound listener is made of. */
export interface VirtualInboundInput {
  /** By target port. */
  readonly ports: readonly InboundPort[];
  readonly mtls: WorkloadMtls;
  readonly meshConfig: MeshConfig;
  readonly features: string;
  /** Connections arrive as they were sent, for any address: TPROXY rules lead them here. */
  readonly isTransparent: boolean;
  readonly families: IpFamilies;
}

const BLACK_HOLE_CHAIN = 'virtualInbound-blackhole';
const CATCH_ALL_HTTP_CHAIN = 'virtualInbound-catchall-http';

/** Builds the listener that takes every captured inbound connection. */
export function buildVirtualInbound(input: VirtualInboundInput): Translated<Listener> {
  const { ports, mtls, meshConfig, families } = input;
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
        serviceTarget(inbound, anyAddressOf(families)),
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
        address: toAnyAddress(families, listenPort),
        trafficDirection: TrafficDirection.INBOUND,
        filterChains,
        listenerFilters: buildListenerFilters(input),
        accessLog: buildListenerAccessLogs(meshConfig),
        ...(input.isTransparent ? { transparent: true } : {}),
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

/** Detection is switched off where the answer is known, so that protocols in which the server speaks first work. */
function buildListenerFilters({ ports, mtls, meshConfig, isTransparent }: VirtualInboundInput) {
  const plain = ports.filter((inbound) => mtlsModeOfPort(mtls, inbound.targetPort) === 'DISABLE');
  const declared = ports.filter((inbound) => inboundProtocol(inbound.port.protocol) !== 'auto');
  const ownPort = meshConfig.proxyInboundListenPort;
  return [
    originalDst(),
    ...(isTransparent ? [originalSrc()] : []),
    tlsInspector([ownPort, ...plain.map((inbound) => inbound.targetPort)]),
    httpInspector([ownPort, ...declared.map((inbound) => inbound.targetPort)]),
  ];
}
