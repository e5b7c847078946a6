import type { MeshConfig } from '@meltemi/api';
import { mostSpecificHost } from '@meltemi/model';

/** Hosts whose name means another thing in every cluster: its own system, its own API, its own way to the control plane. */
function defaultHosts(domainSuffix: string, rootNamespace: string): readonly string[] {
  return [
    `*.kube-system.svc.${domainSuffix}`,
    `kubernetes.default.svc.${domainSuffix}`,
    `istiod.${rootNamespace}.svc.${domainSuffix}`,
  ];
}

/** What {@link isClusterLocal} looks at. */
export interface ClusterLocalInput {
  readonly hostname: string;
  readonly meshConfig: MeshConfig;
  readonly domainSuffix: string;
  readonly rootNamespace: string;
}

/**
 * Whether callers of a host get the endpoints of their own cluster only.
 *
 * The most specific entry decides; an entry of `serviceSettings` stands before a default of the same host.
 *
 * @see Istio MeshConfig.serviceSettings[].settings.clusterLocal
 */
export function isClusterLocal({ hostname, meshConfig, domainSuffix, rootNamespace }: ClusterLocalInput): boolean {
  const verdicts = new Map(defaultHosts(domainSuffix, rootNamespace).map((host) => [host, true]));
  for (const { hosts, settings } of meshConfig.serviceSettings ?? []) {
    for (const host of hosts ?? []) verdicts.set(host, settings?.clusterLocal === true);
  }
  const pattern = mostSpecificHost(verdicts.keys(), hostname);
  return pattern !== undefined && verdicts.get(pattern) === true;
}
