import type { MeshFile } from '@meltemi/local';
import { type Cidr, cidrsOverlap, parseCidr } from '@meltemi/local/cidr';
import type { ClusterFacts } from './cluster-facts.ts';
import { createReport, type PrecheckFinding } from './finding.ts';

interface Range {
  readonly cluster: string;
  readonly network: string;
  readonly what: string;
  readonly cidr: Cidr;
}

/** Ranges of pods as the nodes have them, where a `mesh.yaml` does not say more. */
function rangesOf(facts: readonly ClusterFacts[], mesh: MeshFile | undefined): Range[] {
  return facts.flatMap(({ cluster, network, nodes }) => {
    const spec = mesh?.clusters.find(({ name }) => name === cluster.name);
    if (spec !== undefined)
      return [
        { cluster: cluster.name, network, what: 'pods', cidr: spec.podCidr },
        { cluster: cluster.name, network, what: 'services', cidr: spec.serviceCidr },
      ];
    const texts = new Set(nodes.flatMap((node) => node.spec?.podCIDR ?? []));
    return [...texts].flatMap((text) => {
      const cidr = parseCidr(text);
      return cidr === undefined ? [] : [{ cluster: cluster.name, network, what: 'pods', cidr }];
    });
  });
}

/** Addresses that two clusters of one network both use reach the wrong one. */
export function checkAddresses(
  facts: readonly ClusterFacts[],
  mesh: MeshFile | undefined,
  findings: PrecheckFinding[],
): void {
  const report = createReport('cidr-overlap', findings);
  const ranges = rangesOf(facts, mesh);
  let overlaps = 0;
  for (const [position, right] of ranges.entries()) {
    for (const left of ranges.slice(0, position)) {
      if (left.cluster === right.cluster || left.network !== right.network || !cidrsOverlap(left.cidr, right.cidr))
        continue;
      overlaps += 1;
      const subject = `${left.cluster}, ${right.cluster}`;
      const message = `${left.what} ${left.cidr.text} and ${right.what} ${right.cidr.text} overlap on one network`;
      // Addresses of Services mean something within their own cluster only.
      if (left.what === 'services' && right.what === 'services')
        report.warn(subject, message, 'Give each cluster a service range of its own: it is easier to follow');
      else
        report.fail(
          subject,
          message,
          'Give each cluster a pod range of its own, or put the clusters on networks of their own with gateways between them',
        );
    }
  }
  for (const { cluster } of facts)
    if (facts.length > 1 && !ranges.some((range) => range.cluster === cluster.name))
      report.warn(
        cluster.name,
        'its nodes do not say which range their pods have',
        'Compare the ranges of the clusters by hand',
      );
  if (overlaps === 0 && ranges.length > 0)
    report.pass(
      facts.map(({ cluster }) => cluster.name).join(', '),
      `no overlap among ${ranges.map(({ cidr }) => cidr.text).join(', ')}`,
    );
}
