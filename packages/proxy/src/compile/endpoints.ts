import { HealthStatus } from '@meltemi/xds/types/envoy/config/core/v3/health_check_pb.js';
import type {
  LbEndpoint,
  LocalityLbEndpoints,
} from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { ClusterLoadAssignment } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import type { RuntimeEndpoints, RuntimeHost, RuntimeHostHealth, RuntimeLocality } from '../config/endpoints.ts';
import { compileAddress, compileIpAddress } from './address.ts';
import { at, CompileError, required } from './compile-error.ts';
import { compileMetadata } from './metadata.ts';

const DEFAULT_OVERPROVISIONING_PERCENT = 140;

function compileHealth(status: HealthStatus): RuntimeHostHealth {
  switch (status) {
    case HealthStatus.UNHEALTHY:
    case HealthStatus.TIMEOUT:
      return 'unhealthy';
    case HealthStatus.DRAINING:
      return 'draining';
    case HealthStatus.DEGRADED:
      return 'degraded';
    default:
      return 'healthy';
  }
}

function compileHost(endpoint: LbEndpoint, mayBeName: boolean): RuntimeHost {
  if (endpoint.hostIdentifier.case !== 'endpoint') throw new CompileError('endpoint is required');
  const { address, hostname } = endpoint.hostIdentifier.value;
  return {
    address: mayBeName ? compileAddress(address) : compileIpAddress(address),
    hostname,
    weight: endpoint.loadBalancingWeight ?? 1,
    health: compileHealth(endpoint.healthStatus),
    metadata: compileMetadata(endpoint.metadata),
  };
}

function compileLocality(group: LocalityLbEndpoints, mayBeName: boolean): RuntimeLocality {
  if (group.lbConfig.case === 'ledsClusterLocalityConfig')
    throw new CompileError('leds_cluster_locality_config is not supported');
  const endpoints =
    group.lbConfig.case === 'loadBalancerEndpoints' ? group.lbConfig.value.lbEndpoints : group.lbEndpoints;
  return {
    region: group.locality?.region ?? '',
    zone: group.locality?.zone ?? '',
    subZone: group.locality?.subZone ?? '',
    priority: group.priority,
    weight: group.loadBalancingWeight,
    hosts: endpoints.map((endpoint, index) => at(`lb_endpoints[${index}]`, () => compileHost(endpoint, mayBeName))),
  };
}

/**
 * Compiles a load assignment.
 *
 * @param name What clusters find it by: `cluster_name` for EDS, the cluster's own name for static ones.
 * @param mayBeName Host names may stand for addresses (DNS clusters; the main thread resolves them).
 */
export function compileEndpoints(assignment: ClusterLoadAssignment, name: string, mayBeName = false): RuntimeEndpoints {
  return {
    name: required(name, 'cluster_name'),
    overprovisioningPercent: assignment.policy?.overprovisioningFactor ?? DEFAULT_OVERPROVISIONING_PERCENT,
    localities: assignment.endpoints.map((group, index) =>
      at(`endpoints[${index}]`, () => compileLocality(group, mayBeName)),
    ),
  };
}
