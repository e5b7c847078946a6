import type { NodeObject } from '@meltemi/kube';
import type { MeshFile } from '@meltemi/local';
import { type Cidr, cidrsOverlap, parseCidr } from '@meltemi/local/cidr';
import type { ClusterFacts } from './cluster-facts.ts';
import { createReport, type PrecheckFinding, type PrecheckReport } from './finding.ts';

/** Addresses that one cluster uses for something. */
export interface AddressRange {
  readonly cluster: string;
  readonly network: string;
  readonly what: 'pods' | 'services' | 'nodes';
  readonly cidr: Cidr;
}

/** Addresses that the mesh itself gives to hosts that have none. @see Istio's automatic address allocation */
const ALLOCATED = parseCidr('240.240.0.0/16') as Cidr;

/**
 * The ranges that each cluster uses: what a `mesh.yaml` says, else what nodes and API servers say, else /24 ranges around
 * the addresses that are in use.
 */
export function addressRanges(facts: readonly ClusterFacts[], mesh: MeshFile | undefined): readonly AddressRange[] {
  return facts.flatMap((fact) => {
    const common = { cluster: fact.cluster.name, network: fact.network };
    const spec = mesh?.clusters.find(({ name }) => name === fact.cluster.name);
    const pods = spec === undefined ? podRanges(fact) : [spec.podCidr];
    const services = spec === undefined ? serviceRanges(fact) : [spec.serviceCidr];
    const nodes = fact.nodes.flatMap(nodeAddresses).flatMap((address) => parseCidr(`${address}/32`) ?? []);
    return [
      ...pods.map((cidr): AddressRange => ({ ...common, what: 'pods', cidr })),
      ...services.map((cidr): AddressRange => ({ ...common, what: 'services', cidr })),
      ...nodes.map((cidr): AddressRange => ({ ...common, what: 'nodes', cidr })),
    ];
  });
}

function podRanges({ nodes, pods }: ClusterFacts): readonly Cidr[] {
  const told = nodes.flatMap(({ spec }) => [
    ...(spec?.podCIDRs ?? []),
    ...(spec?.podCIDR === undefined ? [] : [spec.podCIDR]),
  ]);
  const ranges = parseAll(told);
  if (ranges.length > 0) return ranges;
  return around(pods.flatMap(({ spec, status }) => (spec.hostNetwork === true ? [] : (status?.podIP ?? []))));
}

function serviceRanges({ serviceRanges: told, services }: ClusterFacts): readonly Cidr[] {
  const ranges = parseAll(told);
  return ranges.length > 0 ? ranges : around(services.flatMap(({ spec }) => spec.clusterIP ?? []));
}

function nodeAddresses({ status }: NodeObject): readonly string[] {
  return (status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address);
}

function parseAll(texts: readonly string[]): readonly Cidr[] {
  return [...new Set(texts)].flatMap((text) => parseCidr(text) ?? []);
}

function around(addresses: readonly string[]): readonly Cidr[] {
  return parseAll(addresses.map((address) => `${address.split('.').slice(0, 3).join('.')}.0/24`));
}

/** Addresses that two clusters of one network both use reach the wrong one. */
export function checkAddresses(
  facts: readonly ClusterFacts[],
  mesh: MeshFile | undefined,
  findings: PrecheckFinding[],
): void {
  const report = createReport('cidr-overlap', findings);
  const ranges = addressRanges(facts, mesh);
  let overlapCount = 0;
  for (const [position, right] of ranges.entries()) {
    for (const left of ranges.slice(0, position)) {
      if (!cidrsOverlap(left.cidr, right.cidr) || isExpected(left, right)) continue;
      overlapCount += 1;
      reportOverlap(report, left, right);
    }
    if (right.what !== 'nodes' && cidrsOverlap(right.cidr, ALLOCATED)) {
      overlapCount += 1;
      report.fail(
        right.cluster,
        `${right.what} ${right.cidr.text} overlap ${ALLOCATED.text}, from which the mesh gives addresses to hosts without one`,
        `Give the ${right.what} of the cluster another range`,
      );
    }
  }
  for (const { cluster } of facts)
    if (facts.length > 1 && !ranges.some((range) => range.cluster === cluster.name && range.what === 'pods'))
      report.warn(
        cluster.name,
        'neither its nodes nor its pods say which range pods have',
        'Compare the ranges of the clusters by hand',
      );
  const told = ranges.filter(({ what }) => what !== 'nodes');
  if (overlapCount === 0 && told.length > 0)
    report.pass(
      facts.map(({ cluster }) => cluster.name).join(', '),
      `no overlap among ${told.map(({ cidr }) => cidr.text).join(', ')}`,
    );
}

/** Within one cluster, ranges of one kind lie within each other, and pods may have addresses of the nodes' network. */
function isExpected(left: AddressRange, right: AddressRange): boolean {
  if (left.cluster !== right.cluster) return false;
  return left.what === right.what || (left.what !== 'services' && right.what !== 'services');
}

function reportOverlap(report: PrecheckReport, left: AddressRange, right: AddressRange): void {
  const isOneCluster = left.cluster === right.cluster;
  const subject = isOneCluster ? left.cluster : `${left.cluster}, ${right.cluster}`;
  const message = `${left.what} ${left.cidr.text} and ${right.what} ${right.cidr.text} overlap`;
  if (isOneCluster) report.fail(subject, message, 'Give pods, services and nodes of the cluster ranges of their own');
  else if (left.network !== right.network)
    report.info(subject, `${message}, which is well: gateways stand between their networks`);
  // Addresses of Services mean something within their own cluster only.
  else if (left.what === 'services' && right.what === 'services')
    report.warn(
      subject,
      `${message} on one network`,
      'Give each cluster a service range of its own: it is easier to follow',
    );
  else
    report.fail(
      subject,
      `${message} on one network`,
      'Give each cluster a pod range of its own, or put the clusters on networks of their own with gateways between them',
    );
}
