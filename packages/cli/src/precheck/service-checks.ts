import type { Namespace, Service } from '@meltemi/kube';
import type { ClusterFacts } from './cluster-facts.ts';
import { createReport, type PrecheckFinding } from './finding.ts';

/** Namespaces whose Services belong to their cluster alone. */
const OWN_NAMESPACES: ReadonlySet<string> = new Set(['kube-system', 'istio-system', 'kube-public', 'kube-node-lease']);
/** Services in one cluster only are told up to this number one by one. */
const MAX_NAMED = 5;

interface Placed {
  readonly cluster: string;
  readonly service: Service;
}

/** The Services that clusters share by name, `<namespace>/<name>`. */
function servicesByName(facts: readonly ClusterFacts[]): ReadonlyMap<string, readonly Placed[]> {
  const placed = facts.flatMap(({ cluster, services }) =>
    services
      .filter(({ metadata: { namespace = '', name } }) => {
        return !OWN_NAMESPACES.has(namespace) && !(namespace === 'default' && name === 'kubernetes');
      })
      .map((service): Placed => ({ cluster: cluster.name, service })),
  );
  return Map.groupBy(placed, ({ service: { metadata } }) => `${metadata.namespace ?? ''}/${metadata.name}`);
}

function portsOf(service: Service): string {
  return (service.spec.ports ?? [])
    .map(({ port, protocol = 'TCP', name, appProtocol }) =>
      [`${port}/${protocol}`, name, appProtocol].filter((part) => part !== undefined && part !== '').join(' '),
    )
    .sort()
    .join(', ');
}

function kindOf({ spec }: Service): string {
  if (spec.clusterIP === 'None') return 'headless';
  return spec.type ?? 'ClusterIP';
}

function clustersOf(entries: readonly Placed[]): string {
  return entries.map(({ cluster }) => cluster).join(', ');
}

/** A Service of one name is one service of the mesh: where its ports differ, requests fail in some clusters only. */
export function checkServicePorts(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  const report = createReport('service-ports', findings);
  const shared = [...servicesByName(facts)].filter(([, entries]) => entries.length > 1);
  let differentCount = 0;
  for (const [name, entries] of shared) {
    const told = (what: (service: Service) => string): string =>
      entries.map(({ cluster, service }) => `${what(service) || 'none'} in ${cluster}`).join('; ');
    const differ = (what: (service: Service) => string): boolean =>
      new Set(entries.map(({ service }) => what(service))).size > 1;
    if (differ(portsOf)) {
      differentCount += 1;
      report.warn(
        clustersOf(entries),
        `Service ${name} has different ports: ${told(portsOf)}`,
        'Give the Service the same ports, names and protocols in every cluster',
      );
    }
    if (differ(kindOf)) {
      differentCount += 1;
      report.warn(
        clustersOf(entries),
        `Service ${name} is of different types: ${told(kindOf)}`,
        'Make it headless, or of one type, in every cluster',
      );
    }
  }
  if (differentCount === 0 && shared.length > 0)
    report.pass(
      facts.map(({ cluster }) => cluster.name).join(', '),
      `${shared.length} services of the same name have the same ports and types`,
    );
}

/** A name that only another cluster's DNS knows cannot be called, whatever the mesh knows. */
export function checkServicePlaces(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  if (facts.length < 2) return;
  const report = createReport('service-places', findings);
  const lonely = [...servicesByName(facts)].flatMap(([name, [first, ...others]]) =>
    first === undefined || others.length > 0 ? [] : [{ name, cluster: first.cluster }],
  );
  for (const { cluster } of facts) {
    const mine = lonely.filter((entry) => entry.cluster === cluster.name).map(({ name }) => name);
    if (mine.length === 0) continue;
    const shown = mine.slice(0, MAX_NAMED).join(', ');
    const rest = mine.length > MAX_NAMED ? ` and ${mine.length - MAX_NAMED} more` : '';
    report.warn(
      cluster.name,
      `${shown}${rest} exist${mine.length === 1 ? 's' : ''} in this cluster only: the DNS of the others does not know the name`,
      'Create Namespace and Service, without pods, where they are called from; or let sidecars answer DNS (ISTIO_META_DNS_CAPTURE)',
    );
  }
  if (lonely.length === 0)
    report.pass(facts.map(({ cluster }) => cluster.name).join(', '), 'every service exists in every cluster');
}

function isInjected({ metadata: { labels = {} } }: Namespace): boolean {
  return labels['istio-injection'] === 'enabled' || (labels['istio.io/rev'] ?? '') !== '';
}

/** A namespace whose pods have sidecars in one cluster only speaks mutual TLS there only. */
export function checkNamespaceInjection(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  if (facts.length < 2) return;
  const report = createReport('namespace-injection', findings);
  const placed = facts.flatMap(({ cluster, namespaces }) =>
    namespaces
      .filter(({ metadata }) => !OWN_NAMESPACES.has(metadata.name))
      .map((namespace) => ({ cluster: cluster.name, namespace })),
  );
  let differentCount = 0;
  for (const [name, entries] of Map.groupBy(placed, ({ namespace }) => namespace.metadata.name)) {
    const [on, off] = [true, false].map((wanted) =>
      entries.filter(({ namespace }) => isInjected(namespace) === wanted).map(({ cluster }) => cluster),
    );
    if (on === undefined || off === undefined || on.length === 0 || off.length === 0) continue;
    differentCount += 1;
    report.warn(
      entries.map(({ cluster }) => cluster).join(', '),
      `namespace ${name} gets sidecars in ${on.join(', ')} and none in ${off.join(', ')}`,
      `kubectl label namespace ${name} istio-injection=enabled in ${off.join(', ')}, and restart its pods`,
    );
  }
  if (differentCount === 0)
    report.pass(
      facts.map(({ cluster }) => cluster.name).join(', '),
      'namespaces of one name get sidecars everywhere or nowhere',
    );
}
