import { create, type JsonObject } from '@bufbuild/protobuf';
import {
  type Endpoint,
  type EndpointShards,
  formatLocality,
  type Labels,
  matchLabels,
  type Service,
  type ServicePort,
} from '@meltemi/model';
import { HealthStatus } from '@meltemi/xds/types/envoy/config/core/v3/health_check_pb.js';
import type {
  LbEndpointSchema,
  LocalityLbEndpointsSchema,
} from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_components_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import { toAddress } from '../addresses.ts';
import { outboundClusterName } from '../names.ts';
import type { Init } from '../protobuf-values.ts';
import { mtlsModeOfPort, type PeerAuthenticationResource, resolveWorkloadMtls } from '../scope/peer-authentication.ts';
import { serviceSource, type Translated } from '../translated.ts';

type LbEndpointInit = Init<typeof LbEndpointSchema>;
type LocalityInit = Init<typeof LocalityLbEndpointsSchema>;

/** Everything that the endpoints of a cluster are made of. */
export interface LoadAssignmentInput {
  readonly service: Service;
  readonly port: ServicePort;
  readonly subset: string;
  /** Labels that endpoints of the subset have. */
  readonly subsetLabels: Labels | undefined;
  readonly shards: EndpointShards | undefined;
  readonly peerAuthentications: readonly PeerAuthenticationResource[];
  readonly rootNamespace: string;
  /** Whether endpoints with a sidecar are called by mTLS at all. */
  readonly usesMtls: boolean;
  /** Whether endpoints that are not ready are left out instead of being marked. */
  readonly omitsUnhealthy: boolean;
  /** Only endpoints on this node of this cluster, for `internalTrafficPolicy: Local`. */
  readonly onlyNode: string | undefined;
  /** Only endpoints of this cluster, for hosts that mean another thing in every cluster. */
  readonly onlyCluster: string | undefined;
}

/** Builds the endpoints of a cluster: all clusters' shards, grouped by locality. */
export function buildLoadAssignment(input: LoadAssignmentInput): Translated<ClusterLoadAssignment> {
  const { service, port, subset } = input;
  const name = outboundClusterName({ port: port.number, subset, hostname: service.hostname });
  const groups = new Map<string, LbEndpointInit[]>();
  const localities = new Map<string, Endpoint['locality']>();
  const weights = new Map<string, number>();
  for (const shard of input.shards?.values() ?? []) {
    for (const endpoint of shard) {
      const lbEndpoint = buildLbEndpoint(input, endpoint);
      if (lbEndpoint === undefined) continue;
      const key = formatLocality(endpoint.locality);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [lbEndpoint]);
      else group.push(lbEndpoint);
      localities.set(key, endpoint.locality);
      weights.set(key, (weights.get(key) ?? 0) + endpoint.weight);
    }
  }
  const endpoints = [...groups.keys()].sort().map((key): LocalityInit => {
    // The three maps are filled together.
    const locality = localities.get(key) as Endpoint['locality'];
    return {
      locality: { region: locality.region, zone: locality.zone, subZone: locality.subzone },
      lbEndpoints: groups.get(key) as LbEndpointInit[],
      loadBalancingWeight: weights.get(key) as number,
    };
  });
  const resource = create(ClusterLoadAssignmentSchema, { clusterName: name, endpoints });
  return { name, resource, sources: [serviceSource(service)] };
}

function buildLbEndpoint(input: LoadAssignmentInput, endpoint: Endpoint): LbEndpointInit | undefined {
  const portNumber = endpoint.ports.get(input.port.name);
  if (portNumber === undefined && !endpoint.address.startsWith('unix://')) return undefined;
  if (!matchLabels(input.subsetLabels, endpoint.labels)) return undefined;
  if (input.onlyNode !== undefined && `${endpoint.clusterId}/${endpoint.nodeName}` !== input.onlyNode) return undefined;
  if (input.onlyCluster !== undefined && endpoint.clusterId !== input.onlyCluster) return undefined;
  if (endpoint.health === 'terminating') return undefined;
  if (endpoint.health === 'unhealthy' && input.omitsUnhealthy) return undefined;
  const targetPort = portNumber ?? 0;
  return {
    hostIdentifier: { case: 'endpoint', value: { address: toAddress(endpoint.address, targetPort) } },
    healthStatus: toHealthStatus(endpoint),
    loadBalancingWeight: endpoint.weight,
    metadata: { filterMetadata: buildMetadata(input, endpoint, targetPort) },
  };
}

function toHealthStatus({ health }: Endpoint): HealthStatus {
  if (health === 'unhealthy') return HealthStatus.UNHEALTHY;
  if (health === 'draining') return HealthStatus.DRAINING;
  return HealthStatus.HEALTHY;
}

function buildMetadata(input: LoadAssignmentInput, endpoint: Endpoint, targetPort: number): Record<string, JsonObject> {
  const metadata: Record<string, JsonObject> = { istio: { workload: workloadOf(endpoint) } };
  if (endsMtls(input, endpoint, targetPort)) metadata['envoy.transport_socket_match'] = { tlsMode: 'istio' };
  return metadata;
}

function endsMtls(input: LoadAssignmentInput, endpoint: Endpoint, targetPort: number): boolean {
  if (!input.usesMtls || endpoint.tlsMode !== 'istio') return false;
  const mtls = resolveWorkloadMtls({
    policies: input.peerAuthentications,
    rootNamespace: input.rootNamespace,
    namespace: endpoint.namespace,
    labels: endpoint.labels,
  });
  return mtlsModeOfPort(mtls, targetPort) !== 'DISABLE';
}

/** `name;namespace;canonical name;canonical revision;cluster`, as telemetry reads it; `latest` goes without saying. */
function workloadOf(endpoint: Endpoint): string {
  const revision = endpoint.canonicalRevision === 'latest' ? '' : endpoint.canonicalRevision;
  return [endpoint.workloadName, endpoint.namespace, endpoint.canonicalName, revision, endpoint.clusterId].join(';');
}
