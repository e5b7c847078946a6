import type { ResourceType } from '../kinds/resource-type.ts';
import { apiVersionOf } from '../kinds/resource-type.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

interface SubresourceInfo {
  readonly name: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly string[];
}

function subresourcesOf(type: ResourceType): SubresourceInfo[] {
  const own = { group: type.group, version: type.version, kind: type.kind };
  const list: SubresourceInfo[] = [];
  if (type.hasStatus) list.push({ ...own, name: 'status', verbs: ['get', 'patch', 'update'] });
  if (type.scale !== undefined)
    list.push({ name: 'scale', group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: ['get', 'patch', 'update'] });
  if (type.group !== '') return list;
  if (type.kind === 'Pod') {
    list.push({ ...own, name: 'log', verbs: ['get'] });
    list.push({ ...own, name: 'exec', kind: 'PodExecOptions', verbs: ['create', 'get'] });
  }
  if (type.kind === 'ServiceAccount')
    list.push({
      name: 'token',
      group: 'authentication.k8s.io',
      version: 'v1',
      kind: 'TokenRequest',
      verbs: ['create'],
    });
  if (type.kind === 'Namespace') list.push({ ...own, name: 'finalize', verbs: ['update'] });
  return list;
}

function verbsOf(type: ResourceType): readonly string[] {
  return type.isVirtual ? ['create'] : VERBS;
}

/** Groups of the kinds in the order of first mention, each with its versions. */
function groupsOf(types: readonly ResourceType[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { group, version } of types) {
    const versions = groups.get(group) ?? [];
    if (!versions.includes(version)) versions.push(version);
    groups.set(group, versions);
  }
  return groups;
}

/** The aggregated discovery document of the core group (`/api`) or of all others (`/apis`). */
export function aggregatedDiscovery(types: readonly ResourceType[], isCore: boolean, apiVersion: string): object {
  const items = [...groupsOf(types.filter(({ group }) => (group === '') === isCore))].map(([group, versions]) => ({
    metadata: { creationTimestamp: null, ...(group !== '' && { name: group }) },
    versions: versions.map((version) => ({
      version,
      freshness: 'Current',
      resources: types
        .filter((type) => type.group === group && type.version === version)
        .map((type) => ({
          resource: type.plural,
          responseKind: { group, version, kind: type.kind },
          scope: type.isNamespaced ? 'Namespaced' : 'Cluster',
          singularResource: type.singular,
          verbs: verbsOf(type),
          shortNames: type.shortNames,
          categories: type.categories,
          subresources: subresourcesOf(type).map((sub) => ({
            subresource: sub.name,
            responseKind: { group: sub.group, version: sub.version, kind: sub.kind },
            verbs: sub.verbs,
          })),
        })),
    })),
  }));
  return { kind: 'APIGroupDiscoveryList', apiVersion, metadata: {}, items };
}

function legacyGroup(name: string, versions: readonly string[]): object {
  const list = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: list, preferredVersion: list[0] };
}

/** The list of groups in its older form. */
export function legacyGroups(types: readonly ResourceType[]): object {
  const groups = [...groupsOf(types)]
    .filter(([name]) => name !== '')
    .map(([name, versions]) => legacyGroup(name, versions));
  return { kind: 'APIGroupList', apiVersion: 'v1', groups };
}

/** One group in its older form; `undefined` when no kind is of it. */
export function legacyGroupDocument(types: readonly ResourceType[], name: string): object | undefined {
  const versions = groupsOf(types).get(name);
  return versions === undefined ? undefined : { kind: 'APIGroup', apiVersion: 'v1', ...legacyGroup(name, versions) };
}

/** The kinds of one group and version in their older form; `undefined` when there are none. */
export function legacyResources(types: readonly ResourceType[], group: string, version: string): object | undefined {
  const own = types.filter((type) => type.group === group && type.version === version);
  if (own.length === 0) return undefined;
  const resources = own.flatMap((type) => [
    {
      name: type.plural,
      singularName: type.singular,
      namespaced: type.isNamespaced,
      kind: type.kind,
      verbs: verbsOf(type),
      shortNames: type.shortNames,
      categories: type.categories,
    },
    ...subresourcesOf(type).map((sub) => ({
      name: `${type.plural}/${sub.name}`,
      singularName: '',
      namespaced: type.isNamespaced,
      group: sub.group,
      version: sub.version,
      kind: sub.kind,
      verbs: sub.verbs,
    })),
  ]);
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersionOf({ group, version }), resources };
}
