import type { PeerAuthenticationSpec } from '@meltemi/api';
import { type ConfigResource, type Labels, matchLabels } from '@meltemi/model';
import { configSource, type SourceRef } from '../translated.ts';

/** A PeerAuthentication resource. */
export type PeerAuthenticationResource = ConfigResource<PeerAuthenticationSpec>;

/** Which connections a workload accepts on a port. */
export type MtlsMode = 'STRICT' | 'PERMISSIVE' | 'DISABLE';

/** The modes of one workload. */
export interface WorkloadMtls {
  /** The mode of ports that have none of their own. */
  readonly mode: MtlsMode;
  /** By workload port. */
  readonly ports: ReadonlyMap<number, MtlsMode>;
  readonly sources: readonly SourceRef[];
}

/** A workload for which modes are asked. */
export interface MtlsQuery {
  /** Oldest first. */
  readonly policies: readonly PeerAuthenticationResource[];
  readonly rootNamespace: string;
  readonly namespace: string;
  readonly labels: Labels;
}

/**
 * Resolves the modes of a workload: port over workload over namespace over mesh; `PERMISSIVE` where nobody says.
 *
 * At each scope the oldest policy counts, alone.
 */
export function resolveWorkloadMtls(query: MtlsQuery): WorkloadMtls {
  const mesh = query.policies.find((policy) => policy.namespace === query.rootNamespace && !hasSelector(policy));
  const ofNamespace = query.policies.find((policy) => policy.namespace === query.namespace && !hasSelector(policy));
  const ofWorkload = query.policies.find(
    (policy) =>
      policy.namespace === query.namespace &&
      policy.namespace !== query.rootNamespace &&
      hasSelector(policy) &&
      matchLabels(policy.spec.selector?.matchLabels, query.labels),
  );
  const mode = modeOf(ofWorkload) ?? modeOf(ofNamespace) ?? modeOf(mesh) ?? 'PERMISSIVE';
  const ports = new Map<number, MtlsMode>();
  for (const [port, mtls] of Object.entries(ofWorkload?.spec.portLevelMtls ?? {}))
    ports.set(Number(port), explicitMode(mtls.mode) ?? mode);
  const policies = [ofWorkload, ofNamespace, mesh].filter((policy) => policy !== undefined);
  return { mode, ports, sources: policies.map((policy) => configSource(policy, 'spec.mtls')) };
}

/** The mode of one port. */
export function mtlsModeOfPort(mtls: WorkloadMtls, targetPort: number): MtlsMode {
  return mtls.ports.get(targetPort) ?? mtls.mode;
}

/** The mode that callers may assume of a namespace's services, before they look at single endpoints. */
export function resolveNamespaceMtls(query: Omit<MtlsQuery, 'labels'>): MtlsMode {
  return resolveWorkloadMtls({
    ...query,
    policies: query.policies.filter((policy) => !hasSelector(policy)),
    labels: {},
  }).mode;
}

function hasSelector(policy: PeerAuthenticationResource): boolean {
  return Object.keys(policy.spec.selector?.matchLabels ?? {}).length > 0;
}

function modeOf(policy: PeerAuthenticationResource | undefined): MtlsMode | undefined {
  return explicitMode(policy?.spec.mtls?.mode);
}

function explicitMode(mode: string | undefined): MtlsMode | undefined {
  return mode === 'STRICT' || mode === 'PERMISSIVE' || mode === 'DISABLE' ? mode : undefined;
}
