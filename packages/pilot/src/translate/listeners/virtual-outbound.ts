import { create } from '@bufbuild/protobuf';
import type { MeshConfig } from '@meltemi/api';
import { TrafficDirection } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import { type Listener, ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { type IpFamilies, toAnyAddress } from '../ip-families.ts';
import { BLACK_HOLE_CLUSTER, PASSTHROUGH_CLUSTER, VIRTUAL_OUTBOUND } from '../names.ts';
import { parseFeaturesKey } from '../proxy-node.ts';
import type { Translated } from '../translated.ts';
import { buildListenerAccessLogs } from './access-log.ts';
import { buildTcpProxy, buildTcpTelemetry } from './tcp-proxy.ts';

/** Where traffic to unknown destinations goes. */
export function unknownDestinationCluster(meshConfig: MeshConfig): string {
  return meshConfig.outboundTrafficPolicy.mode === 'REGISTRY_ONLY' ? BLACK_HOLE_CLUSTER : PASSTHROUGH_CLUSTER;
}

/** Builds the listener that takes every captured outbound connection and hands it to the one for its destination. */
export function buildVirtualOutbound(input: {
  readonly meshConfig: MeshConfig;
  readonly features: string;
  readonly families: IpFamilies;
}): Translated<Listener> {
  const { meshConfig } = input;
  const features = parseFeaturesKey(input.features);
  const port = meshConfig.proxyListenPort;
  const tcpTo = (cluster: string) => [
    ...buildTcpTelemetry(features, false),
    buildTcpProxy({ targets: [{ cluster, weight: 1 }], statPrefix: cluster, meshConfig }),
  ];
  const resource = create(ListenerSchema, {
    name: VIRTUAL_OUTBOUND,
    address: toAnyAddress(input.families, port),
    useOriginalDst: true,
    trafficDirection: TrafficDirection.OUTBOUND,
    accessLog: buildListenerAccessLogs(meshConfig),
    filterChains: [
      {
        // A connection to the listener itself would come back to it for ever.
        name: 'virtualOutbound-blackhole',
        filterChainMatch: { destinationPort: port },
        filters: tcpTo(BLACK_HOLE_CLUSTER),
      },
      { name: 'virtualOutbound-catchall-tcp', filters: tcpTo(unknownDestinationCluster(meshConfig)) },
    ],
  });
  return { name: VIRTUAL_OUTBOUND, resource, sources: [] };
}
