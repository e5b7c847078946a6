import type { ClusterFacts } from './cluster-facts.ts';
import { createReport, type PrecheckFinding } from './finding.ts';

/** Oldest minor version of Kubernetes 1 whose API has all that is used. */
const OLDEST_MINOR = 27;
/** Clusters further apart are rarely tested together. */
const MAX_SKEW = 3;

/** Whether the API servers are new enough, and close enough to each other. */
export function checkVersions(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  const report = createReport('kubernetes-version', findings);
  const minors = facts.map(({ cluster, version }) => {
    const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
    return { name: cluster.name, version, minor: major === '1' && minor !== undefined ? Number(minor) : undefined };
  });
  for (const { name, version, minor } of minors) {
    if (minor === undefined)
      report.warn(name, `its version "${version}" cannot be read`, 'Compare it with the supported ones by hand');
    else if (minor < OLDEST_MINOR)
      report.fail(
        name,
        `Kubernetes ${version} is older than 1.${OLDEST_MINOR}, the oldest that is supported`,
        'Upgrade the cluster before it joins the mesh',
      );
    else report.pass(name, `Kubernetes ${version} is supported`);
  }
  const known = minors.filter((entry): entry is typeof entry & { minor: number } => entry.minor !== undefined);
  const [oldest, ...others] = known.toSorted((left, right) => left.minor - right.minor);
  const newest = others.at(-1);
  if (oldest === undefined || newest === undefined || newest.minor - oldest.minor <= MAX_SKEW) return;
  report.warn(
    `${oldest.name}, ${newest.name}`,
    `Kubernetes ${oldest.version} and ${newest.version} are ${newest.minor - oldest.minor} minor versions apart`,
    `Bring the clusters within ${MAX_SKEW} minor versions of each other`,
  );
}
