import type { Service } from '@meltemi/kube';
import type { ClusterFacts } from './cluster-facts.ts';
import { createReport, type PrecheckFinding } from './finding.ts';

/** Namespaces whose Services belong to their cluster alone. */
const OWN_NAMESPACES: ReadonlySet<string> = new Set(['kube-system', 'istio-system', 'kube-public']);

function portsOf(service: Service): string {
  return (service.spec.ports ?? [])
    .map(({ port, protocol = 'TCP', name, appProtocol }) =>
      [`${port}/${protocol}`, name, appProtocol].filter((part) => part !== undefined && part !== '').join(' '),
    )
    .sort()
    .join(', ');
}

/** A Service of one name is one service of the mesh: where its ports differ, requests fail in some clusters only. */
export function checkServicePorts(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  const report = createReport('service-ports', findings);
  const byName = new Map<string, { readonly cluster: string; readonly ports: string }[]>();
  for (const { cluster, services } of facts) {
    for (const service of services) {
      const { namespace = '', name } = service.metadata;
      if (OWN_NAMESPACES.has(namespace) || (namespace === 'default' && name === 'kubernetes')) continue;
      const key = `${namespace}/${name}`;
      byName.set(key, [...(byName.get(key) ?? []), { cluster: cluster.name, ports: portsOf(service) }]);
    }
  }
  let shared = 0;
  let different = 0;
  for (const [name, entries] of byName) {
    if (entries.length < 2) continue;
    shared += 1;
    if (new Set(entries.map(({ ports }) => ports)).size < 2) continue;
    different += 1;
    report.warn(
      entries.map(({ cluster }) => cluster).join(', '),
      `Service ${name} has different ports: ${entries.map(({ cluster, ports }) => `${ports || 'none'} in ${cluster}`).join('; ')}`,
      'Give the Service the same ports, names and protocols in every cluster',
    );
  }
  if (different === 0 && shared > 0)
    report.pass(
      facts.map(({ cluster }) => cluster.name).join(', '),
      `${shared} services of the same name have the same ports`,
    );
}
