import { create } from '@bufbuild/protobuf';
import type { MeshConfig } from '@meltemi/api';
import { TrafficDirection } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import { type Listener, ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { toAddress } from '../addresses.ts';
import { listenerName } from '../names.ts';
import { join } from '../protobuf-values.ts';
import { parseFeaturesKey } from '../proxy-node.ts';
import { mtlsModeOfPort, type WorkloadMtls } from '../scope/peer-authentication.ts';
import { serviceSource, type Translated } from '../translated.ts';
import { buildListenerAccessLogs } from './access-log.ts';
import { buildChains, type InboundPort, inboundProtocol, serviceTarget } from './inbound-chains.ts';
import { detectionTimeout, httpInspector, tlsInspector } from './listener-filters.ts';

/** Everything that the listener of one port is made of. */
export interface BoundInboundInput {
  /** The pod's own address; the application has another. */
  readonly bind: string;
  readonly inbound: InboundPort;
  readonly mtls: WorkloadMtls;
  readonly meshConfig: MeshConfig;
  readonly features: string;
}

/**
 * Builds the listener that takes a port's connections where nothing is captured: it is bound to the port itself, as
 * those of a Sidecar resource's `ingress` are.
 */
export function buildBoundInbound(input: BoundInboundInput): Translated<Listener> {
  const { bind, inbound, mtls, meshConfig } = input;
  const name = listenerName(bind, inbound.targetPort);
  const mode = mtlsModeOfPort(mtls, inbound.targetPort);
  const protocol = inboundProtocol(inbound.port.protocol);
  const target = { ...serviceTarget(inbound, bind), destinationPort: undefined };
  const resource = create(
    ListenerSchema,
    join<typeof ListenerSchema>(
      {
        name,
        address: toAddress(bind, inbound.targetPort),
        trafficDirection: TrafficDirection.INBOUND,
        filterChains: buildChains(target, mode, protocol, { meshConfig, features: parseFeaturesKey(input.features) }),
        // Where the answer is known nothing is detected, so that protocols in which the server speaks first work.
        listenerFilters: [
          ...(mode === 'DISABLE' ? [] : [tlsInspector()]),
          ...(protocol === 'auto' ? [httpInspector()] : []),
        ],
        accessLog: buildListenerAccessLogs(meshConfig),
      },
      detectionTimeout(meshConfig),
    ),
  );
  return { name, resource, sources: inbound.services.map((service) => serviceSource(service)).concat(mtls.sources) };
}
