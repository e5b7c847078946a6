import type { MeshConfig } from '@meltemi/api';
import { isHttpProtocol, type Protocol, type Service, type ServicePort } from '@meltemi/model';
import type { FilterChainSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_components_pb.js';
import { inboundClusterName, listenerName } from '../names.ts';
import type { Init } from '../protobuf-values.ts';
import type { ProxyFeatures } from '../proxy-node.ts';
import { buildInboundRoutes } from '../routes/inbound-routes.ts';
import type { MtlsMode } from '../scope/peer-authentication.ts';
import { buildMeshServerTls } from './downstream-tls.ts';
import { buildHttpConnectionManager } from './http-connection-manager.ts';
import { type InboundChainMatch, type InboundProtocol, inboundChainMatches } from './inbound-chain-matches.ts';
import { buildTcpProxy, buildTcpTelemetry } from './tcp-proxy.ts';

type FilterChainInit = Init<typeof FilterChainSchema>;

/** A port of the workload that connections come in on. */
export interface InboundPort {
  readonly targetPort: number;
  /** Of the oldest service; a detected protocol where no service leads to the port. */
  readonly port: ServicePort;
  /** Oldest first. */
  readonly services: readonly Service[];
}

/** Where connections to one group of inbound chains go. */
export interface InboundTarget {
  readonly chainName: string;
  readonly httpChainName: string;
  /** Absent for any. */
  readonly destinationPort: number | undefined;
  readonly cluster: string;
  readonly statPrefix: string;
  readonly servicePort: number;
  readonly operation: string;
  readonly isGrpc: boolean;
}

/** Where connections to a port of the workload go. @param bind The address in the chains' names. */
export function serviceTarget({ targetPort, port, services }: InboundPort, bind: string): InboundTarget {
  const chainName = listenerName(bind, targetPort);
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

/** The filter chains of one target, in order. */
export function buildChains(
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

/** How a port's protocol is served on the way in. */
export function inboundProtocol(protocol: Protocol): InboundProtocol {
  if (protocol === 'auto') return 'auto';
  return isHttpProtocol(protocol) ? 'http' : 'tcp';
}
