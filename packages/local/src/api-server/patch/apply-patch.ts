import { StatusError } from '../errors.ts';
import { apiVersionOf, type ResourceType } from '../kinds/resource-type.ts';
import { isJsonObject, type JsonObject, listOf } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { fieldsOf, itemSegment, removeAt, removeEmptied, sameAt, showField } from './field-set.ts';
import { appliedFields, type Ownership, ownershipsOf, setOwnerships } from './managed-fields.ts';
import { type MergeShape, mergeShapeOf } from './merge-shape.ts';

/** One server-side apply. */
export interface ApplyOptions {
  readonly type: ResourceType;
  /** The stored object; an empty one of its name when there is none yet. */
  readonly live: KubeObject;
  /** What the manager wants, and nothing else. */
  readonly config: JsonObject;
  readonly manager: string;
  readonly subresource: string;
  /** Takes fields that other managers own instead of refusing. */
  readonly isForced: boolean;
  readonly time: string;
}

function merge(live: unknown, config: unknown, shape: MergeShape): unknown {
  if (isJsonObject(config) && isJsonObject(live) && !shape.isAtomic) {
    const merged = { ...live };
    for (const [name, value] of Object.entries(config)) merged[name] = merge(live[name], value, shape.member(name));
    return merged;
  }
  const { listKeys } = shape;
  if (!Array.isArray(config) || !Array.isArray(live) || listKeys === undefined) return structuredClone(config);
  if (listKeys === 'set') return [...new Set([...live, ...config])];
  const merged = [...live];
  const positions = new Map(live.map((item, index) => [itemSegment(item, listKeys), index]));
  for (const item of config) {
    const position = positions.get(itemSegment(item, listKeys));
    if (position === undefined) merged.push(structuredClone(item));
    else merged[position] = merge(merged[position], item, shape.item());
  }
  return merged;
}

function refuseConflicts(conflicts: ReadonlyMap<Ownership, readonly string[]>): void {
  const count = [...conflicts.values()].reduce((sum, paths) => sum + paths.length, 0);
  if (count === 0) return;
  const causes = [...conflicts].flatMap(([{ manager, apiVersion }, paths]) =>
    paths.map((path) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with "${manager}" using ${apiVersion}`,
      field: showField(path),
    })),
  );
  const list = causes.map(({ message, field }) => `${message}: ${field}`).join('\n');
  throw new StatusError('Conflict', `Apply failed with ${count} conflict${count === 1 ? '' : 's'}: ${list}`, {
    causes,
  });
}

/**
 * Merges what a manager wants into an object, and removes what it wanted before, wants no longer and nobody else owns.
 *
 * @returns The new state, with its managed fields.
 * @throws StatusError `Conflict` when another manager owns a field with another value, unless forced.
 */
export function applyConfiguration({
  type,
  live,
  config,
  manager,
  subresource,
  isForced,
  time,
}: ApplyOptions): KubeObject {
  const shape = mergeShapeOf(type);
  const wanted = appliedFields(type, config);
  let ownerships = ownershipsOf(live);
  if (ownerships.length === 0 && live.metadata.uid !== undefined)
    ownerships = [
      {
        manager: 'before-first-apply',
        operation: 'Update',
        subresource: '',
        apiVersion: live.apiVersion,
        time,
        fields: fieldsOf(live, shape),
      },
    ];
  const isOwn = (item: Ownership): boolean =>
    item.manager === manager && item.operation === 'Apply' && item.subresource === subresource;
  const previous = ownerships.find(isOwn);
  const others = ownerships.filter((item) => !isOwn(item));

  const conflicts = new Map<Ownership, string[]>();
  for (const other of others) {
    const paths = [...wanted].filter((path) => other.fields.has(path) && !sameAt(path, live, config));
    if (paths.length > 0) conflicts.set(other, paths);
  }
  if (!isForced) refuseConflicts(conflicts);
  for (const [other, paths] of conflicts) for (const path of paths) other.fields.delete(path);

  // Merging keeps references into the live object, which nobody may change.
  const next = structuredClone(merge(live, config, shape)) as KubeObject;
  const dropped = [...(previous?.fields ?? [])].filter(
    (path) => !wanted.has(path) && !others.some(({ fields }) => fields.has(path)),
  );
  const isHeld = (path: string): boolean => {
    const prefix = path.slice(0, -1);
    return [wanted, ...others.map(({ fields }) => fields)].some((fields) =>
      [...fields].some((field) => field.startsWith(prefix)),
    );
  };
  // Whole items of lists first, once nobody owns anything in them: without its key fields an item is not found any more.
  const [items, members] = [
    dropped.filter((path) => path.endsWith('.')),
    dropped.filter((path) => !path.endsWith('.')),
  ];
  const isWanted = (path: string): boolean => wanted.has(path) || others.some(({ fields }) => fields.has(path));
  for (const path of [...items.filter((item) => !isHeld(item)), ...members]) {
    removeAt(path, next);
    removeEmptied(path, next, isWanted);
  }
  next.apiVersion = apiVersionOf(type);
  next.kind = type.kind;
  setOwnerships(next, [
    ...others,
    {
      manager,
      operation: 'Apply',
      subresource,
      apiVersion: apiVersionOf(type),
      time: wanted.size === previous?.fields.size ? (previous.time ?? time) : time,
      fields: wanted,
    },
  ]);
  if (listOf(next.metadata.finalizers).length === 0) delete next.metadata.finalizers;
  return next;
}
