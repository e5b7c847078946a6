import type { DestinationRuleSpec, Subset, TrafficPolicy } from '@meltemi/api';
import {
  type ConfigResource,
  isVisibleTo,
  type Labels,
  matchLabels,
  mostSpecificHost,
  resolveShortName,
  resolveVisibility,
  type Service,
} from '@meltemi/model';

/** A DestinationRule resource. */
export type DestinationRuleResource = ConfigResource<DestinationRuleSpec>;

/** What remains of several rules of one namespace for one host. */
export interface MergedDestinationRule {
  readonly trafficPolicy: TrafficPolicy | undefined;
  /** The rule that `trafficPolicy` came from. */
  readonly policyRule: DestinationRuleResource;
  readonly subsets: readonly MergedSubset[];
  /** Oldest first. */
  readonly rules: readonly DestinationRuleResource[];
}

/** A subset and the rule that defines it. */
export interface MergedSubset {
  readonly subset: Subset;
  readonly rule: DestinationRuleResource;
  readonly index: number;
}

/** DestinationRules by namespace and completed host, oldest first. */
export type DestinationRuleIndex = ReadonlyMap<string, ReadonlyMap<string, readonly DestinationRuleResource[]>>;

/** Indexes rules for {@link findDestinationRules}. */
export function indexDestinationRules(input: {
  readonly rules: readonly DestinationRuleResource[];
  readonly domainSuffix: string;
}): DestinationRuleIndex {
  const index = new Map<string, Map<string, DestinationRuleResource[]>>();
  for (const rule of input.rules) {
    const host = resolveShortName(rule.spec.host, rule.namespace, input.domainSuffix);
    let hosts = index.get(rule.namespace);
    if (hosts === undefined) index.set(rule.namespace, (hosts = new Map()));
    const list = hosts.get(host);
    if (list === undefined) hosts.set(host, [rule]);
    else list.push(rule);
  }
  return index;
}

/** Who asks for which service's rules. */
export interface DestinationRuleQuery {
  readonly index: DestinationRuleIndex;
  readonly proxyNamespace: string;
  readonly proxyLabels: Labels;
  readonly rootNamespace: string;
  readonly defaultExportTo: readonly string[];
  readonly service: Pick<Service, 'hostname' | 'namespace'>;
}

/**
 * Finds the rules that apply: in the caller's namespace, else the service's, else the root namespace. The first place
 * that has any wins, and within it the most specific host.
 *
 * @returns Rules to be merged, oldest first; empty when there are none.
 */
export function findDestinationRules(query: DestinationRuleQuery): readonly DestinationRuleResource[] {
  const { proxyNamespace, rootNamespace, service } = query;
  const places: { readonly namespace: string; readonly accepts: (rule: DestinationRuleResource) => boolean }[] = [];
  const visible = (rule: DestinationRuleResource): boolean =>
    isVisibleTo(visibilityOf(rule, query.defaultExportTo), proxyNamespace);
  places.push({
    namespace: proxyNamespace,
    // The root namespace's exported rules are everybody's last resort, not its own workloads' first choice.
    accepts: (rule) => proxyNamespace !== rootNamespace || isPrivate(rule, query.defaultExportTo),
  });
  if (service.namespace !== proxyNamespace) places.push({ namespace: service.namespace, accepts: visible });
  places.push({ namespace: rootNamespace, accepts: visible });
  for (const { namespace, accepts } of places) {
    const found = rulesInPlace(query, namespace, accepts);
    if (found.length > 0) return found;
  }
  return [];
}

function rulesInPlace(
  query: DestinationRuleQuery,
  namespace: string,
  accepts: (rule: DestinationRuleResource) => boolean,
): readonly DestinationRuleResource[] {
  const candidates = new Map<string, DestinationRuleResource[]>();
  for (const [host, rules] of query.index.get(namespace) ?? []) {
    const accepted = rules.filter((rule) => accepts(rule) && selects(rule, query));
    if (accepted.length > 0) candidates.set(host, accepted);
  }
  const host = mostSpecificHost(candidates.keys(), query.service.hostname);
  if (host === undefined) return [];
  const rules = candidates.get(host) ?? [];
  const selected = rules.filter((rule) => hasSelector(rule));
  // Rules with different audiences or selectors are not merged: the first group wins.
  const [first] = selected.length > 0 ? selected : rules;
  return rules.filter((rule) => groupKey(rule) === groupKey(first as DestinationRuleResource));
}

function hasSelector(rule: DestinationRuleResource): boolean {
  return rule.spec.workloadSelector !== undefined;
}

function selects(rule: DestinationRuleResource, query: DestinationRuleQuery): boolean {
  if (!hasSelector(rule)) return true;
  return (
    rule.namespace === query.proxyNamespace && matchLabels(rule.spec.workloadSelector?.matchLabels, query.proxyLabels)
  );
}

function groupKey(rule: DestinationRuleResource): string {
  const selector = Object.entries(rule.spec.workloadSelector?.matchLabels ?? {}).sort();
  return JSON.stringify([[...(rule.spec.exportTo ?? [])].sort(), selector]);
}

function visibilityOf(rule: DestinationRuleResource, defaults: readonly string[]) {
  return resolveVisibility(rule.spec.exportTo, rule.namespace, defaults);
}

function isPrivate(rule: DestinationRuleResource, defaults: readonly string[]): boolean {
  if (hasSelector(rule)) return true;
  const visibility = visibilityOf(rule, defaults);
  return (
    visibility.scope === 'namespaces' && visibility.namespaces.size === 1 && visibility.namespaces.has(rule.namespace)
  );
}

/** Merges rules for one host: the oldest policy, and every subset name once. */
export function mergeDestinationRules(input: {
  readonly rules: readonly DestinationRuleResource[];
}): MergedDestinationRule | undefined {
  const [oldest] = input.rules;
  if (oldest === undefined) return undefined;
  const policyRule = input.rules.find((rule) => rule.spec.trafficPolicy !== undefined) ?? oldest;
  const subsets = new Map<string, MergedSubset>();
  for (const rule of input.rules) {
    for (const [index, subset] of (rule.spec.subsets ?? []).entries()) {
      if (!subsets.has(subset.name)) subsets.set(subset.name, { subset, rule, index });
    }
  }
  return {
    trafficPolicy: policyRule.spec.trafficPolicy,
    policyRule,
    subsets: [...subsets.values()],
    rules: input.rules,
  };
}
