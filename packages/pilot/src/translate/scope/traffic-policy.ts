import type {
  ClientTLSSettings,
  ConnectionPoolSettings,
  LoadBalancerSettings,
  MeshConfig,
  OutlierDetection,
  TrafficPolicy,
} from '@meltemi/api';

/** The blocks of a traffic policy that apply to one cluster. */
export interface EffectivePolicy {
  readonly connectionPool: ConnectionPoolSettings | undefined;
  readonly loadBalancer: LoadBalancerSettings | undefined;
  readonly outlierDetection: OutlierDetection | undefined;
  readonly tls: ClientTLSSettings | undefined;
}

/** A policy that says nothing. */
export const NO_POLICY: EffectivePolicy = {
  connectionPool: undefined,
  loadBalancer: undefined,
  outlierDetection: undefined,
  tls: undefined,
};

/**
 * Resolves the policy of a port, and of a subset over it.
 *
 * Port settings replace the destination's as a whole: blocks that they leave out fall to defaults. A subset overlays
 * block by block, except that its own port settings again replace all four.
 */
export function resolveTrafficPolicy(input: {
  readonly policy: TrafficPolicy | undefined;
  readonly subsetPolicy: TrafficPolicy | undefined;
  readonly port: number;
  readonly meshDefaults: MeshConfig['defaultTrafficPolicy'];
}): EffectivePolicy {
  const ofPort = policyOfPort(input.policy, input.port);
  const resolved = overlay(ofPort, input.subsetPolicy, input.port);
  return {
    ...resolved,
    connectionPool: resolved.connectionPool ?? input.meshDefaults?.connectionPool,
    outlierDetection: resolved.outlierDetection ?? input.meshDefaults?.outlierDetection,
  };
}

function policyOfPort(policy: TrafficPolicy | undefined, port: number): EffectivePolicy {
  if (policy === undefined) return NO_POLICY;
  return blocksOf(policy.portLevelSettings?.find((settings) => settings.port?.number === port) ?? policy);
}

function overlay(base: EffectivePolicy, subset: TrafficPolicy | undefined, port: number): EffectivePolicy {
  if (subset === undefined) return base;
  const ofPort = subset.portLevelSettings?.find((settings) => settings.port?.number === port);
  if (ofPort !== undefined) return blocksOf(ofPort);
  return {
    connectionPool: subset.connectionPool ?? base.connectionPool,
    loadBalancer: subset.loadBalancer ?? base.loadBalancer,
    outlierDetection: subset.outlierDetection ?? base.outlierDetection,
    tls: subset.tls ?? base.tls,
  };
}

function blocksOf(policy: {
  readonly connectionPool?: ConnectionPoolSettings | undefined;
  readonly loadBalancer?: LoadBalancerSettings | undefined;
  readonly outlierDetection?: OutlierDetection | undefined;
  readonly tls?: ClientTLSSettings | undefined;
}): EffectivePolicy {
  return {
    connectionPool: policy.connectionPool,
    loadBalancer: policy.loadBalancer,
    outlierDetection: policy.outlierDetection,
    tls: policy.tls,
  };
}
