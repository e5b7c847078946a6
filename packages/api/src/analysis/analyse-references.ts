import { at, type Finding } from '../finding.ts';
import { MESH_GATEWAY, resolveGatewayName } from '../gateway-name.ts';
import { completeHost, isSubsetOfHostPattern } from '../host-pattern.ts';
import type { DestinationRule } from '../kinds/destination-rule.ts';
import type { Gateway } from '../kinds/gateway.ts';
import type { Destination } from '../kinds/shared-messages.ts';
import type { VirtualService } from '../kinds/virtual-service.ts';
import type { KubernetesObject } from '../object.ts';

/** A finding about one of several objects. */
export interface ObjectFinding extends Finding {
  /** `<kind>/<namespace>/<name>`. */
  readonly object: string;
}

/** What an analysis looks at. */
export interface AnalysisInput {
  readonly virtualServices: readonly VirtualService[];
  readonly destinationRules: readonly DestinationRule[];
  /** Absent: references to gateways are not checked. */
  readonly gateways?: readonly Gateway[] | undefined;
  /** Host names of the registry; absent when it is not known, and hosts are then not checked. */
  readonly hosts?: ReadonlySet<string> | undefined;
  /** Default `cluster.local`. */
  readonly domainSuffix?: string | undefined;
}

/** `<kind>/<namespace>/<name>` of an object. */
export function objectKeyOf(object: Pick<KubernetesObject, 'kind' | 'metadata'>): string {
  return `${object.kind}/${object.metadata.namespace ?? 'default'}/${object.metadata.name}`;
}

/**
 * Looks for what objects refer to and is not there, and for objects that contradict each other. A missing gateway is an error,
 * as for users of Istio; everything else may arrive in a moment, and is a warning.
 */
export function analyse(input: AnalysisInput): readonly ObjectFinding[] {
  return [
    ...input.virtualServices.flatMap((resource) => analyseVirtualService(resource, input)),
    ...findUnknownGateways(input),
    ...findHostConflicts(input),
  ];
}

/** What a VirtualService refers to and is not there: subsets, and hosts when the registry is known. */
export function analyseVirtualService(resource: VirtualService, input: AnalysisInput): readonly ObjectFinding[] {
  const object = objectKeyOf(resource);
  const namespace = resource.metadata.namespace ?? 'default';
  const findings: ObjectFinding[] = [];
  for (const { destination, path } of destinationsOf(resource)) {
    const host = completeHost(destination.host, namespace, input.domainSuffix);
    const report = (field: string, message: string): void => {
      findings.push({ object, path: at(path, field), severity: 'warning', code: 'IST0101', message });
    };
    if (input.hosts !== undefined && !isKnownHost(host, input.hosts)) {
      report('host', `host "${host}" is not known: no Service has this name; create it, or correct the name`);
    }
    if (destination.subset === undefined) continue;
    const known = subsetsOf(host, input);
    if (known.includes(destination.subset)) continue;
    const remedy =
      known.length === 0
        ? `no DestinationRule for ${host} defines subsets; create one`
        : `the DestinationRule for ${host} defines ${known.join(', ')}; add it there, or correct the name`;
    report('subset', `subset "${destination.subset}" of ${host} is not defined: ${remedy}`);
  }
  return findings;
}

/** Every destination that a VirtualService names, with its field path. */
export function destinationsOf(
  resource: VirtualService,
): readonly { readonly destination: Destination; readonly path: string }[] {
  const found: { destination: Destination; path: string }[] = [];
  resource.spec.http?.forEach((route, index) => {
    const path = at('spec', 'http', index);
    route.route?.forEach((item, itemIndex) => {
      found.push({ destination: item.destination, path: at(path, 'route', itemIndex, 'destination') });
    });
    if (route.mirror !== undefined) found.push({ destination: route.mirror, path: at(path, 'mirror') });
    route.mirrors?.forEach((item, itemIndex) => {
      found.push({ destination: item.destination, path: at(path, 'mirrors', itemIndex, 'destination') });
    });
  });
  for (const field of ['tls', 'tcp'] as const) {
    resource.spec[field]?.forEach((route, index) => {
      route.route?.forEach((item, itemIndex) => {
        found.push({
          destination: item.destination,
          path: at('spec', field, index, 'route', itemIndex, 'destination'),
        });
      });
    });
  }
  return found;
}

function findUnknownGateways({ virtualServices, gateways }: AnalysisInput): readonly ObjectFinding[] {
  if (gateways === undefined) return [];
  const known = new Set(gateways.map(({ metadata }) => `${metadata.namespace ?? 'default'}/${metadata.name}`));
  return virtualServices.flatMap((resource) => {
    const namespace = resource.metadata.namespace ?? 'default';
    return gatewayReferencesOf(resource).flatMap(({ reference, path }): ObjectFinding[] => {
      const gateway = resolveGatewayName(reference, namespace);
      if (gateway === MESH_GATEWAY || known.has(gateway)) return [];
      const others = known.size === 0 ? 'there is none' : `there are ${[...known].toSorted().join(', ')}`;
      const message = `Gateway ${gateway} does not exist: ${others}; create it, or correct the name`;
      return [{ object: objectKeyOf(resource), path, severity: 'error', code: 'IST0101', message }];
    });
  });
}

function gatewayReferencesOf({
  spec,
}: VirtualService): readonly { readonly reference: string; readonly path: string }[] {
  const listed = (references: readonly string[] | undefined, ...steps: readonly (string | number)[]) =>
    (references ?? []).map((reference, index) => ({ reference, path: at('spec', ...steps, 'gateways', index) }));
  const inMatches = (['http', 'tls', 'tcp'] as const).flatMap((field) =>
    (spec[field] ?? []).flatMap((route, index) =>
      (route.match ?? []).flatMap((match, matchIndex) => listed(match.gateways, field, index, 'match', matchIndex)),
    ),
  );
  return [...listed(spec.gateways), ...inMatches];
}

function isKnownHost(host: string, hosts: ReadonlySet<string>): boolean {
  return hosts.has(host) || [...hosts].some((known) => known.startsWith('*') && isSubsetOfHostPattern(host, known));
}

function subsetsOf(host: string, input: AnalysisInput): readonly string[] {
  const names = new Set<string>();
  for (const rule of input.destinationRules) {
    const ruleHost = completeHost(rule.spec.host, rule.metadata.namespace ?? 'default', input.domainSuffix);
    if (!isSubsetOfHostPattern(host, ruleHost)) continue;
    for (const subset of rule.spec.subsets ?? []) names.add(subset.name);
  }
  return [...names].toSorted();
}

function findHostConflicts(input: AnalysisInput): readonly ObjectFinding[] {
  const claims = input.virtualServices.flatMap((resource) => {
    const gateways = resource.spec.gateways ?? [];
    if (gateways.length > 0 && !gateways.includes('mesh')) return [];
    const namespace = resource.metadata.namespace ?? 'default';
    return (resource.spec.hosts ?? []).map((host, index) => ({
      object: objectKeyOf(resource),
      path: at('spec', 'hosts', index),
      host: completeHost(host, namespace, input.domainSuffix),
    }));
  });
  return claims.flatMap(({ object, path, host }) => {
    const others = claims.filter((claim) => claim.object !== object && claim.host === host);
    if (others.length === 0) return [];
    const names = [...new Set(others.map((claim) => claim.object))].join(', ');
    const message = `Host "${host}" is also defined by ${names}; only the oldest one takes effect, merge them`;
    return [{ object, path, severity: 'warning' as const, code: 'IST0109', message }];
  });
}
