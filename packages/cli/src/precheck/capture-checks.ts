import type { ConfigMap, Pod } from '@meltemi/kube';
import { type Cidr, parseCidr } from '@meltemi/local/cidr';
import { addressRanges } from './address-checks.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import { createReport, type PrecheckFinding } from './finding.ts';

const INCLUDE_ANNOTATION = 'traffic.sidecar.istio.io/includeOutboundIPRanges';

/** The ranges that the pods of a cluster send through their sidecars, where that is not all. */
function narrowRanges({ pods, injector }: ClusterFacts): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const mesh = includeRanges(injector);
  if (mesh !== undefined && mesh !== '*' && mesh !== '') found.set('the setting global.proxy.includeIPRanges', mesh);
  for (const pod of pods) {
    const own = pod.metadata.annotations?.[INCLUDE_ANNOTATION];
    if (own !== undefined && own !== '*' && own !== '') found.set(`the annotation of ${podName(pod)}`, own);
  }
  return found;
}

function podName({ metadata }: Pod): string {
  return `pod ${metadata.name}.${metadata.namespace ?? ''}`;
}

function includeRanges(injector: ConfigMap | undefined): string | undefined {
  try {
    const values = JSON.parse(injector?.data?.['values'] ?? '{}') as {
      readonly global?: { readonly proxy?: { readonly includeIPRanges?: string } };
    };
    return values.global?.proxy?.includeIPRanges;
  } catch {
    // The injector itself says what is wrong with its settings.
    return undefined;
  }
}

function contains(outer: Cidr, inner: Cidr): boolean {
  return (
    outer.prefix <= inner.prefix &&
    Math.floor(inner.base / 2 ** (32 - outer.prefix)) === outer.base / 2 ** (32 - outer.prefix)
  );
}

/** What is not captured goes past the mesh: calls to the other cluster would leave unencrypted and unsteered. */
export function checkCapturedRanges(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  const report = createReport('include-ip-ranges', findings);
  const needed = addressRanges(facts, undefined).filter(({ what }) => what !== 'nodes');
  for (const fact of facts) {
    const narrow = narrowRanges(fact);
    if (narrow.size === 0) report.pass(fact.cluster.name, 'its sidecars capture calls to all addresses');
    for (const [where, text] of narrow) {
      const captured = text.split(',').flatMap((range) => parseCidr(range.trim()) ?? []);
      const missing = needed.filter(({ cidr }) => !captured.some((range) => contains(range, cidr)));
      if (missing.length === 0) report.pass(fact.cluster.name, `${where} covers the pods and services of all clusters`);
      else
        report.fail(
          fact.cluster.name,
          `${where} (${text}) leaves out ${missing.map(({ what, cluster, cidr }) => `${what} of ${cluster} ${cidr.text}`).join(', ')}`,
          'Add these ranges, or capture all with "*"',
        );
    }
  }
}
