import type { PodSpec } from '@meltemi/kube';

/** What a template adds to a pod; merged over it by {@link mergeOverlay}. */
export interface PodOverlay {
  readonly metadata?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: Partial<PodSpec>;
}

type Json = Readonly<Record<string, unknown>>;

/** Lists that are merged item by item, with the member by which an item is known. All other lists are replaced. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  containers: 'name',
  initContainers: 'name',
  ephemeralContainers: 'name',
  volumes: 'name',
  env: 'name',
  ports: 'containerPort',
  volumeMounts: 'mountPath',
  volumeDevices: 'devicePath',
  imagePullSecrets: 'name',
  hostAliases: 'ip',
  topologySpreadConstraints: 'topologyKey',
  resourceClaims: 'name',
  schedulingGates: 'name',
  ownerReferences: 'uid',
};

/** Notes to whoever merges, which are no part of the result. */
const DIRECTIVES: ReadonlySet<string> = new Set(['$patch', '$retainKeys']);

/**
 * Merges what a template says over a pod as a strategic merge patch of Kubernetes does: objects member by member,
 * lists of the pod's API by their keys, `null` and `$patch: delete` take away, `$patch: replace` replaces.
 *
 * @see Kubernetes, staging/src/k8s.io/api/core/v1/types.go for the merge keys
 */
export function mergeOverlay<Target extends object>(target: Target, overlay: object): Target {
  // Merging adds and replaces members by the names of the target's own type.
  return mergeObject(target as Json, overlay as Json) as Target;
}

function mergeObject(target: Json, overlay: Json): Json {
  if (overlay['$patch'] === 'replace') return clean(overlay) as Json;
  const merged: Record<string, unknown> = { ...target };
  for (const [name, value] of Object.entries(overlay)) {
    if (DIRECTIVES.has(name) || value === undefined) continue;
    if (value === null || isDeletion(value)) delete merged[name];
    else merged[name] = mergeMember(name, merged[name], value);
  }
  return merged;
}

function mergeMember(name: string, old: unknown, value: unknown): unknown {
  if (isJson(value)) return isJson(old) ? mergeObject(old, value) : clean(value);
  const key = MERGE_KEYS[name];
  if (!Array.isArray(value) || !Array.isArray(old) || key === undefined) return clean(value);
  return mergeList(key, old, value);
}

function mergeList(key: string, old: readonly unknown[], items: readonly unknown[]): readonly unknown[] {
  const own = items.filter((item) => !isReplacement(item));
  const merged = own.length < items.length ? [] : [...old];
  const indices = indexByKey(key, merged);
  const removed = new Set<number>();
  for (const item of own) {
    if (!isJson(item)) {
      merged.push(clean(item));
      continue;
    }
    const index = indices.get(item[key])?.at(-1);
    if (isDeletion(item)) {
      if (index !== undefined) removed.add(index);
      indices.get(item[key])?.pop();
    } else if (index === undefined) {
      indices.set(item[key], [merged.length]);
      merged.push(clean(item));
    } else merged[index] = mergeObject(merged[index] as Json, item);
  }
  return removed.size === 0 ? merged : merged.filter((_item, index) => !removed.has(index));
}

/** Where the items of each key are, the first one last: lists may hold a key twice, as ports of two protocols do. */
function indexByKey(key: string, list: readonly unknown[]): Map<unknown, number[]> {
  const indices = new Map<unknown, number[]>();
  for (let index = list.length - 1; index >= 0; index--) {
    const item = list[index];
    if (!isJson(item)) continue;
    const others = indices.get(item[key]);
    if (others === undefined) indices.set(item[key], [index]);
    else others.push(index);
  }
  return indices;
}

/** A value that is new to the target: without directives and without what they or `null` would take away. */
function clean(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => !isDeletion(item)).map(clean);
  if (!isJson(value)) return value;
  const kept = Object.entries(value).filter(
    ([name, member]) => !DIRECTIVES.has(name) && member !== null && member !== undefined && !isDeletion(member),
  );
  return Object.fromEntries(kept.map(([name, member]) => [name, clean(member)]));
}

function isDeletion(value: unknown): boolean {
  return isJson(value) && value['$patch'] === 'delete';
}

/** An item without a key that says that the list is to be replaced. */
function isReplacement(item: unknown): boolean {
  return isJson(item) && item['$patch'] === 'replace' && Object.keys(item).length === 1;
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
