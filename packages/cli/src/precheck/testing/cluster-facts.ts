import type { ClusterFacts } from '../cluster-facts.ts';

/** Facts of a cluster in which there is nothing but what a test puts in. */
export function factsOf(name: string, facts: Partial<ClusterFacts> = {}): ClusterFacts {
  return {
    // Pure checks look at the name only.
    cluster: { name } as ClusterFacts['cluster'],
    version: 'v1.34.0',
    nodes: [],
    namespaces: [],
    pods: [],
    services: [],
    serviceRanges: [],
    rootCertificates: undefined,
    plugged: undefined,
    remoteSecrets: [],
    controlPlane: undefined,
    meshConfig: undefined,
    injector: undefined,
    webhooks: [],
    systemSlices: [],
    network: '',
    clockSkewMs: 0,
    ...facts,
  };
}
