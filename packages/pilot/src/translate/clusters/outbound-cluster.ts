import { create, type JsonObject } from '@bufbuild/protobuf';
import type { MeshConfig } from '@meltemi/api';
import type { Service, ServicePort } from '@meltemi/model';
import {
  type Cluster,
  Cluster_DiscoveryType,
  ClusterSchema,
} from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { ApiVersion } from '@meltemi/xds/types/envoy/config/core/v3/config_source_pb.js';
import { outboundClusterName, statName } from '../names.ts';
import { filterMetadata, type Init, join, NO_DURATION } from '../protobuf-values.ts';
import type { MergedDestinationRule, MergedSubset } from '../scope/destination-rule.ts';
import type { MtlsMode } from '../scope/peer-authentication.ts';
import { type EffectivePolicy, resolveTrafficPolicy } from '../scope/traffic-policy.ts';
import { configPath, configSource, type SourceRef, serviceSource, type Translated } from '../translated.ts';
import { buildConnectionPool, buildHttpOptions, resolveUpstreamHttp } from './connection-pool.ts';
import { buildLoadBalancer, isPassthroughBalancing, ORIGINAL_DESTINATION } from './load-balancer.ts';
import { buildOutlierDetection } from './outlier-detection.ts';
import { autoHostNames, buildUpstreamTls } from './upstream-tls.ts';

type ClusterInit = Init<typeof ClusterSchema>;

/** Everything that an outbound cluster is made of. */
export interface OutboundClusterInput {
  readonly service: Service;
  readonly port: ServicePort;
  /** `undefined` for the cluster of all endpoints. */
  readonly subset: MergedSubset | undefined;
  readonly rule: MergedDestinationRule | undefined;
  readonly meshConfig: MeshConfig;
  readonly serverMode: MtlsMode;
}

/** Builds the cluster of a service's port, or of one of its subsets. */
export function buildOutboundCluster(input: OutboundClusterInput): Translated<Cluster> {
  const { service, port, subset, meshConfig } = input;
  const key = { port: port.number, subset: subset?.subset.name ?? '', hostname: service.hostname };
  const name = outboundClusterName(key);
  const policy = policyOf(input);
  const http = resolveUpstreamHttp(port.protocol, policy.connectionPool, meshConfig);
  const resource = create(
    ClusterSchema,
    join<typeof ClusterSchema>(
      { name, altStatName: statName(name), metadata: filterMetadata('istio', istioMetadata(input, policy)) },
      buildConnectionPool(policy.connectionPool, meshConfig),
      buildOutlierDetection(policy.outlierDetection),
      buildDiscovery(input, policy, name),
      buildHttpOptions(http, policy.connectionPool, autoHostNames(policy.tls)),
      buildUpstreamTls({
        key,
        tls: policy.tls,
        serviceAccounts: service.serviceAccounts,
        isHttp2: http === 'http2',
        meshExternal: service.meshExternal,
        meshConfig,
        serverMode: input.serverMode,
      }),
    ),
  );
  return { name, resource, sources: sourcesOf(input) };
}

function policyOf(input: OutboundClusterInput): EffectivePolicy {
  return resolveTrafficPolicy({
    policy: input.rule?.trafficPolicy,
    subsetPolicy: input.subset?.subset.trafficPolicy,
    port: input.port.number,
    meshDefaults: input.meshConfig.defaultTrafficPolicy,
  });
}

function buildDiscovery({ service }: OutboundClusterInput, policy: EffectivePolicy, name: string): ClusterInit {
  if (service.resolution === 'Passthrough' || isPassthroughBalancing(policy.loadBalancer)) return ORIGINAL_DESTINATION;
  const discovery: ClusterInit = {
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: {
      serviceName: name,
      edsConfig: {
        configSourceSpecifier: { case: 'ads', value: {} },
        initialFetchTimeout: NO_DURATION,
        resourceApiVersion: ApiVersion.V3,
      },
    },
  };
  return join<typeof ClusterSchema>(discovery, buildLoadBalancer(policy.loadBalancer));
}

function istioMetadata({ service, subset, rule }: OutboundClusterInput, policy: EffectivePolicy): JsonObject {
  const mode = policy.tls?.mode;
  return {
    services: [{ host: service.hostname, name: service.name, namespace: service.namespace }],
    ...(rule === undefined ? {} : { config: configPath(rule.policyRule) }),
    ...(subset === undefined ? {} : { subset: subset.subset.name }),
    ...(service.meshExternal ? { external: true } : {}),
    ...(mode === 'SIMPLE' || mode === 'MUTUAL' ? { alpn_override: 'false' } : {}),
  };
}

function sourcesOf({ service, rule, subset }: OutboundClusterInput): readonly SourceRef[] {
  const sources: SourceRef[] = [serviceSource(service)];
  if (rule?.trafficPolicy !== undefined) sources.push(configSource(rule.policyRule, 'spec.trafficPolicy'));
  if (subset !== undefined) sources.push(configSource(subset.rule, `spec.subsets[${subset.index}]`));
  return sources;
}
