import { messageOf } from '@meltemi/base';
import { parse } from 'yaml';
import { injectedNames } from '../remote-secret/injected-names.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import { createReport, type PrecheckFinding, type PrecheckReport } from './finding.ts';

const SYSTEM_NAMESPACE = 'istio-system';
const CONSENT_ANNOTATION = 'topology.istio.io/controlPlaneClusters';

/** What has to be the same wherever a control plane of the mesh runs. */
interface MeshIdentity {
  readonly 'trust domain': string;
  readonly 'mesh ID': string;
  readonly 'domain suffix': string;
}

function discoveryEnv({ controlPlane }: ClusterFacts, name: string): string | undefined {
  const containers = controlPlane?.spec.template.spec.containers ?? [];
  return containers.find((container) => container.name === 'discovery')?.env?.find((entry) => entry.name === name)
    ?.value;
}

/** The name under which a control plane knows its own cluster. */
export function ownName(fact: ClusterFacts): string | undefined {
  return discoveryEnv(fact, 'CLUSTER_ID');
}

/** @throws Error when the text of MeshConfig is not YAML. */
function identityOf(fact: ClusterFacts): MeshIdentity {
  const mesh = (parse(fact.meshConfig?.data?.['mesh'] ?? '{}') ?? {}) as {
    readonly trustDomain?: string;
    readonly defaultConfig?: { readonly meshId?: string };
  };
  const trustDomain = mesh.trustDomain ?? 'cluster.local';
  return {
    'trust domain': trustDomain,
    // Istio takes the trust domain where no mesh ID is given.
    'mesh ID': mesh.defaultConfig?.meshId ?? trustDomain,
    'domain suffix': discoveryEnv(fact, 'DOMAIN_SUFFIX') ?? 'cluster.local',
  };
}

/** Control planes of one mesh must agree on who everybody is, and live in a namespace of the same name. */
export function checkMeshIdentity(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  const report = createReport('mesh-identity', findings);
  const identities: (readonly [cluster: string, identity: MeshIdentity])[] = [];
  for (const fact of facts) {
    checkSystemNamespace(report, fact);
    if (fact.controlPlane === undefined) continue;
    try {
      identities.push([fact.cluster.name, identityOf(fact)]);
    } catch (error) {
      report.fail(fact.cluster.name, `its MeshConfig cannot be read: ${messageOf(error)}`, 'Correct ConfigMap istio');
    }
  }
  const [first, ...others] = identities;
  if (first === undefined) return;
  for (const [name, identity] of others) {
    for (const field of ['trust domain', 'mesh ID', 'domain suffix'] as const) {
      const subject = `${first[0]}, ${name}`;
      const [left, right] = [first[1][field], identity[field]];
      if (left === right) report.pass(subject, `their ${field} is ${left}`);
      else
        report.fail(
          subject,
          `their ${field} differs: ${left} and ${right}`,
          field === 'trust domain'
            ? 'Give both the same trustDomain, or name the other in trustDomainAliases'
            : `Give both control planes the same ${field}`,
        );
    }
  }
}

function checkSystemNamespace(report: PrecheckReport, { cluster, namespaces, pods }: ClusterFacts): void {
  const elsewhere = pods.find(
    ({ metadata }) => metadata.labels?.['app'] === 'istiod' && metadata.namespace !== SYSTEM_NAMESPACE,
  );
  if (elsewhere !== undefined)
    report.fail(
      cluster.name,
      `a control plane runs in namespace ${elsewhere.metadata.namespace}, not in ${SYSTEM_NAMESPACE}`,
      'Install the control planes of one mesh in namespaces of the same name',
    );
  if (namespaces.some(({ metadata }) => metadata.name === SYSTEM_NAMESPACE)) return;
  report.fail(
    cluster.name,
    `it has no namespace ${SYSTEM_NAMESPACE}, where the reader account and the network label belong`,
    'Make it: meltemi create-remote-secret creates it with the account',
  );
}

/** Either every cluster says on which network it is, or none does. */
export function checkNetworks(
  facts: readonly ClusterFacts[],
  topology: 'flat' | 'multi-network' | undefined,
  findings: PrecheckFinding[],
): void {
  if (facts.length < 2) return;
  const report = createReport('network-label', findings);
  const all = facts.map(({ cluster }) => cluster.name).join(', ');
  const label = `kubectl label namespace ${SYSTEM_NAMESPACE} topology.istio.io/network=NAME`;
  const unlabelled = facts.filter(({ network }) => network === '');
  if (unlabelled.length > 0 && unlabelled.length < facts.length) {
    for (const { cluster } of unlabelled)
      report.fail(
        cluster.name,
        'it does not say on which network it is, while other clusters do: their endpoints are then taken for remote ones',
        label,
      );
    return;
  }
  const networks = [...new Set(facts.map(({ network }) => network))];
  const shown = networks.map((network) => network || 'without a name').join(', ');
  if (topology === 'flat' && networks.length > 1)
    report.fail(
      all,
      `they are on ${networks.length} networks (${shown}), and should be on one`,
      `The same for all: ${label}`,
    );
  else if (topology === 'multi-network' && networks.length < facts.length)
    report.fail(all, `they share a network (${shown}), and each should have its own`, `Another for each: ${label}`);
  else report.pass(all, networks.length === 1 ? `they are on one network, ${shown}` : `their networks are ${shown}`);
}

/** A control plane must know a cluster by the name that its sidecars say. */
export function checkInjectedNames(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  const report = createReport('injected-name', findings);
  const keys = new Set(
    facts.flatMap(({ remoteSecrets }) => remoteSecrets.flatMap(({ data }) => Object.keys(data ?? {}))),
  );
  const own = new Set(facts.flatMap((fact) => ownName(fact) ?? []));
  for (const { cluster, webhooks, controlPlane } of facts) {
    if (controlPlane !== undefined) continue;
    for (const name of injectedNames(webhooks)) {
      if (keys.has(name) || own.has(name)) report.pass(cluster.name, `its sidecars say "${name}", which is known`);
      else
        report.fail(
          cluster.name,
          `its sidecars say that they are of cluster "${name}", which no control plane knows (${[...own, ...keys].join(', ') || 'none is attached'}): new pods get no certificate`,
          `Attach it under that name: meltemi create-remote-secret --cluster ${cluster.name} --name ${name}`,
        );
    }
  }
}

/** A control plane looks after a remote cluster only if that names it. */
export function checkConsent(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  const report = createReport('consent', findings);
  const leaders = facts.flatMap((fact) =>
    fact.controlPlane === undefined ? [] : (ownName(fact) ?? fact.cluster.name),
  );
  for (const { cluster, controlPlane, namespaces } of facts) {
    if (controlPlane !== undefined || leaders.length === 0) continue;
    const system = namespaces.find(({ metadata }) => metadata.name === SYSTEM_NAMESPACE);
    const named = (system?.metadata.annotations?.[CONSENT_ANNOTATION] ?? '').split(',').map((name) => name.trim());
    if (named.includes('*') || leaders.some((leader) => named.includes(leader)))
      report.pass(cluster.name, `it lets ${leaders.join(', ')} write root certificates and webhooks`);
    else
      report.warn(
        cluster.name,
        `it names none of ${leaders.join(', ')}: nobody writes root certificates and the webhook's certificate there`,
        `kubectl annotate namespace ${SYSTEM_NAMESPACE} ${CONSENT_ANNOTATION}=${leaders[0]}`,
      );
  }
}
