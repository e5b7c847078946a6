import type { MeshFile } from '@meltemi/local';
import type { SessionCluster } from '../session.ts';
import { checkAddresses } from './address-checks.ts';
import { checkAttachments, checkServers } from './attachment-checks.ts';
import { checkCapturedRanges } from './capture-checks.ts';
import { type ClusterFacts, readClusterFacts } from './cluster-facts.ts';
import { checkInjectionWebhook, checkRemoteDiscovery } from './control-plane-checks.ts';
import type { PrecheckFinding } from './finding.ts';
import { checkConsent, checkInjectedNames, checkMeshIdentity, checkNetworks } from './mesh-identity-checks.ts';
import { checkGatewayAddresses } from './probe/gateways.ts';
import { checkPaths } from './probe/path-checks.ts';
import { checkClusterNames, checkOwnCredentials, checkRemoteSecrets } from './remote-checks.ts';
import { checkNamespaceInjection, checkServicePlaces, checkServicePorts } from './service-checks.ts';
import { checkIntermediates, checkRoots } from './trust-checks.ts';
import { checkVersions } from './version-checks.ts';

/** Which clusters to look at, and how closely. */
export interface CheckClustersOptions {
  readonly clusters: readonly SessionCluster[];
  /** All whose credentials are at hand: a remote secret may be of a cluster that is not looked at. */
  readonly known: readonly SessionCluster[];
  readonly mesh?: MeshFile | undefined;
  /** What the clusters are meant to be joined by. Default: whatever their labels say. */
  readonly topology?: 'flat' | 'multi-network' | undefined;
  /** Whether processes are started in pods to try the ways between them. */
  readonly probes: boolean;
  nowMs(): number;
}

/** Looks for what would keep these clusters from being one mesh. */
export async function checkClusters(options: CheckClustersOptions, findings: PrecheckFinding[]): Promise<void> {
  const { clusters, known, nowMs } = options;
  const perCluster = await Promise.all(
    clusters.map(async (cluster) => {
      const own: PrecheckFinding[] = [];
      return { facts: await readClusterFacts(cluster, nowMs, own), own };
    }),
  );
  findings.push(...perCluster.flatMap(({ own }) => own));
  const facts = perCluster.flatMap((entry) => entry.facts ?? []);
  checkOwnCredentials(clusters, nowMs(), findings);
  checkFacts(facts, options, findings);
  await checkRemoteSecrets(facts, known, nowMs(), findings);
  const followed = await checkAttachments(facts, findings);
  await checkServers(facts, followed, findings);
  if (options.probes) await checkPaths(facts, findings);
}

/** What can be told from what was read. */
function checkFacts(
  facts: readonly ClusterFacts[],
  { mesh, topology, nowMs }: CheckClustersOptions,
  findings: PrecheckFinding[],
): void {
  checkVersions(facts, findings);
  checkAddresses(facts, mesh, findings);
  checkNetworks(facts, topology, findings);
  checkGatewayAddresses(facts, findings);
  checkRoots(facts, nowMs(), findings);
  checkIntermediates(facts, nowMs(), findings);
  checkMeshIdentity(facts, findings);
  checkClusterNames(facts, findings);
  checkInjectedNames(facts, findings);
  checkConsent(facts, findings);
  checkServicePorts(facts, findings);
  checkServicePlaces(facts, findings);
  checkNamespaceInjection(facts, findings);
  checkCapturedRanges(facts, findings);
  checkRemoteDiscovery(facts, findings);
  checkInjectionWebhook(facts, findings);
}
