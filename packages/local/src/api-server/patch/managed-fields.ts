import { apiVersionOf, type ResourceType } from '../kinds/resource-type.ts';
import type { JsonObject } from '../objects/json-value.ts';
import type { KubeObject, ManagedFieldsEntry } from '../objects/kube-object.ts';
import { decodeFieldsV1, encodeFieldsV1, type FieldSet, fieldsOf, sameAt } from './field-set.ts';
import { mergeShapeOf } from './merge-shape.ts';

/** One manager's fields, decoded. */
export interface Ownership {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly subresource: string;
  readonly apiVersion: string;
  readonly time: unknown;
  readonly fields: FieldSet;
}

/** Reads who owns which fields. */
export function ownershipsOf(object: KubeObject): Ownership[] {
  return (object.metadata.managedFields ?? []).map((entry) => ({
    manager: entry.manager,
    operation: entry.operation,
    subresource: entry.subresource ?? '',
    apiVersion: entry.apiVersion,
    time: entry['time'],
    fields: decodeFieldsV1(entry.fieldsV1),
  }));
}

/** Writes who owns which fields; managers that own nothing are left out. */
export function setOwnerships(object: KubeObject, ownerships: readonly Ownership[]): void {
  object.metadata.managedFields = ownerships
    .filter(({ fields }) => fields.size > 0)
    .map(
      ({ manager, operation, subresource, apiVersion, time, fields }): ManagedFieldsEntry => ({
        manager,
        operation,
        apiVersion,
        ...(time !== undefined && { time }),
        fieldsType: 'FieldsV1',
        fieldsV1: encodeFieldsV1(fields),
        ...(subresource !== '' && { subresource }),
      }),
    );
}

/**
 * Gives the fields that a write changed to its manager, in place.
 *
 * Only objects that were applied by the server once carry this bookkeeping: for all others it would double their size to
 * no use, and the first apply assigns what it finds to one manager, `before-first-apply`.
 */
export function recordUpdate(
  type: ResourceType,
  old: KubeObject,
  next: KubeObject,
  { manager, subresource }: { readonly manager: string; readonly subresource: string },
): void {
  if ((next.metadata.managedFields ?? []).length === 0) {
    delete next.metadata.managedFields;
    return;
  }
  if (JSON.stringify(next.metadata.managedFields) !== JSON.stringify(old.metadata.managedFields)) return;
  const shape = mergeShapeOf(type);
  const [before, after] = [fieldsOf(old, shape), fieldsOf(next, shape)];
  const changed = new Set([...after].filter((path) => !before.has(path) || !sameAt(path, old, next)));
  const removed = new Set([...before].filter((path) => !after.has(path)));
  if (changed.size + removed.size === 0) return;
  const ownerships = ownershipsOf(old);
  let own = ownerships.find(
    (item) => item.manager === manager && item.operation === 'Update' && item.subresource === subresource,
  );
  if (own === undefined) {
    own = {
      manager,
      operation: 'Update',
      subresource,
      apiVersion: apiVersionOf(type),
      time: undefined,
      fields: new Set(),
    };
    ownerships.push(own);
  }
  for (const { fields } of ownerships) for (const path of [...changed, ...removed]) fields.delete(path);
  for (const path of changed) own.fields.add(path);
  setOwnerships(next, ownerships);
}

/** The fields of an object that an apply of it would own. */
export function appliedFields(type: ResourceType, config: JsonObject): FieldSet {
  return fieldsOf(config, mergeShapeOf(type));
}
