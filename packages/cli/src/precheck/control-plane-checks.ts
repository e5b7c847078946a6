import type { EndpointSlice } from '@meltemi/kube';
import type { ClusterFacts } from './cluster-facts.ts';
import { createReport, type PrecheckFinding } from './finding.ts';

const DISCOVERY_SERVICES = ['istiod', 'istio-pilot'];
const SERVICE_LABEL = 'kubernetes.io/service-name';

function addressesOf(slices: readonly EndpointSlice[], service: string): readonly string[] {
  const own = slices.filter(({ metadata }) => metadata.labels?.[SERVICE_LABEL] === service);
  return [
    ...new Set(own.flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses))),
  ].toSorted();
}

/** Addresses at which control planes of these clusters run, or that lead to one. */
function liveAddresses(facts: readonly ClusterFacts[]): ReadonlySet<string> {
  const pods = facts.flatMap(({ pods: all }) =>
    all.filter(({ metadata }) => metadata.labels?.['app'] === 'istiod').flatMap(({ status }) => status?.podIP ?? []),
  );
  const services = facts.flatMap(({ services: all }) =>
    all.flatMap(({ spec, status }) => [
      ...(spec.externalIPs ?? []),
      ...(status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []),
    ]),
  );
  return new Set([...pods, ...services]);
}

/** In a cluster without a control plane, `istiod` must lead to one that runs: its sidecars and its webhook call it. */
export function checkRemoteDiscovery(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  const report = createReport('remote-endpoints', findings);
  const live = liveAddresses(facts);
  if (!facts.some(({ controlPlane }) => controlPlane !== undefined)) return;
  for (const { cluster, controlPlane, services, systemSlices } of facts) {
    if (controlPlane !== undefined) continue;
    const names = DISCOVERY_SERVICES.filter((name) =>
      services.some(({ metadata }) => metadata.namespace === 'istio-system' && metadata.name === name),
    );
    if (names.length === 0)
      report.fail(
        cluster.name,
        'it has no Service istiod in istio-system, which its sidecars and its webhook call',
        'Install what a remote cluster needs; the control plane then writes its address behind the Service',
      );
    for (const name of names) {
      const addresses = addressesOf(systemSlices, name);
      const stale = addresses.filter((address) => !live.has(address));
      if (addresses.length === 0)
        report.fail(
          cluster.name,
          `nothing is behind its Service ${name}: no address of a control plane has been written there`,
          'Attach the cluster and let it name the control plane (annotation topology.istio.io/controlPlaneClusters)',
        );
      else if (stale.length > 0)
        report.fail(
          cluster.name,
          `its Service ${name} leads to ${stale.join(', ')}, where no control plane runs; live are ${[...live].join(', ') || 'none'}`,
          `Let the control plane keep it, or correct the addresses behind ${name}`,
        );
      else report.pass(cluster.name, `its Service ${name} leads to the control plane at ${addresses.join(', ')}`);
    }
  }
}

/** A webhook that cannot be verified or reached keeps pods from being created, or leaves them without a sidecar. */
export function checkInjectionWebhook(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  const report = createReport('injection-webhook', findings);
  for (const { cluster, webhooks, rootCertificates } of facts) {
    const hooks = webhooks
      .filter(({ metadata }) => metadata.name.startsWith('istio-sidecar-injector'))
      .flatMap((configuration) => (configuration.webhooks ?? []).map((hook) => ({ configuration, hook })));
    const roots = certificatesOf(rootCertificates?.data?.['root-cert.pem'] ?? '');
    const bad = hooks.filter(({ hook }) => {
      const bundle = certificatesOf(Buffer.from(hook.clientConfig.caBundle ?? '', 'base64').toString('utf8'));
      return bundle.length === 0 || (roots.length > 0 && !bundle.some((block) => roots.includes(block)));
    });
    if (hooks.length === 0)
      report.warn(
        cluster.name,
        'it has no webhook that adds sidecars',
        'Install what a remote cluster needs, or add sidecars to manifests by hand',
      );
    else if (bad.length > 0)
      report.fail(
        cluster.name,
        `its webhook ${bad[0]?.configuration.metadata.name} has ${bad[0]?.hook.clientConfig.caBundle === undefined ? 'no certificate to verify the control plane by' : "a certificate that is not the mesh's root"}: pods of labelled namespaces are refused`,
        'Let the control plane keep it (annotation topology.istio.io/controlPlaneClusters), or write the root into caBundle',
      );
    else report.pass(cluster.name, 'its webhook that adds sidecars trusts the root of the mesh');
  }
}

function certificatesOf(pem: string): readonly string[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []).map((block) =>
    block.replaceAll(/\s/g, ''),
  );
}
