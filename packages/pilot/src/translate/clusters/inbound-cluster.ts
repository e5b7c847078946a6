import { create } from '@bufbuild/protobuf';
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt';
import type { MeshConfig } from '@meltemi/api';
import type { Service, ServicePort } from '@meltemi/model';
import {
  type Cluster,
  Cluster_DiscoveryType,
  ClusterSchema,
} from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { ipAddress } from '../addresses.ts';
import { type IpFamilies, inboundSource, loopbackOf } from '../ip-families.ts';
import { inboundClusterName, statName } from '../names.ts';
import { filterMetadata, type Init, join } from '../protobuf-values.ts';
import type { MergedDestinationRule } from '../scope/destination-rule.ts';
import { resolveTrafficPolicy } from '../scope/traffic-policy.ts';
import { configSource, serviceSource, type Translated } from '../translated.ts';
import { buildConnectionPool, buildHttpOptions, resolveUpstreamHttp } from './connection-pool.ts';
import { ORIGINAL_DESTINATION } from './load-balancer.ts';

type ClusterInit = Init<typeof ClusterSchema>;

/** A century, near the most that Envoy takes: a host of an original-destination cluster must not be dropped under long connections. */
const NEVER: Duration = create(DurationSchema, { seconds: 3_153_600_000n });

/** Everything that an inbound cluster is made of. */
export interface InboundClusterInput {
  /** The services on this port of the workload; the oldest decides. */
  readonly services: readonly Service[];
  readonly port: ServicePort;
  readonly targetPort: number;
  /** The rule of the oldest service; only its connection pool counts. */
  readonly rule: MergedDestinationRule | undefined;
  readonly meshConfig: MeshConfig;
  /** Where the application listens, when that is not where the connection was going. */
  readonly applicationAddress?: string | undefined;
  readonly families: IpFamilies;
}

/** Builds the cluster that leads from the sidecar to a port of its own workload. */
export function buildInboundCluster(input: InboundClusterInput): Translated<Cluster> {
  const { services, port, targetPort, rule, meshConfig, applicationAddress, families } = input;
  const name = inboundClusterName(targetPort);
  const { connectionPool } = resolveTrafficPolicy({
    policy: rule?.trafficPolicy,
    subsetPolicy: undefined,
    port: port.number,
    meshDefaults: meshConfig.defaultTrafficPolicy,
  });
  const http = resolveUpstreamHttp(port.protocol, undefined, meshConfig);
  const owners = services.map((service) => ({
    host: service.hostname,
    name: service.name,
    namespace: service.namespace,
  }));
  const resource = create(
    ClusterSchema,
    join<typeof ClusterSchema>(
      { name, altStatName: statName(name), metadata: filterMetadata('istio', { services: owners }) },
      buildConnectionPool(connectionPool, meshConfig),
      buildHttpOptions(http, connectionPool, { sni: false, sanValidation: false }),
      buildDestination(targetPort, name, applicationAddress ?? localhostOf(meshConfig, families)),
      inboundSource(families),
    ),
  );
  const ruleSources = connectionPool === undefined || rule === undefined ? [] : [configSource(rule.policyRule)];
  return { name, resource, sources: [...services.map((service) => serviceSource(service)), ...ruleSources] };
}

function localhostOf({ inboundTrafficPolicy }: MeshConfig, families: IpFamilies): string | undefined {
  return inboundTrafficPolicy.mode === 'LOCALHOST' ? loopbackOf(families) : undefined;
}

function buildDestination(targetPort: number, name: string, host: string | undefined): ClusterInit {
  if (host === undefined) return join<typeof ClusterSchema>(ORIGINAL_DESTINATION, { cleanupInterval: NEVER });
  const address = { address: { case: 'socketAddress' as const, value: ipAddress(host, targetPort) } };
  return {
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address } } }] }],
    },
  };
}
