import { isJsonObject, type JsonObject, jsonEquals } from '../objects/json-value.ts';
import type { MergeShape } from './merge-shape.ts';

/** Fields of an object: paths of `f:name`, `k:{"key":"value"}`, `v:"item"` and a last `.`, each joined by {@link SEPARATOR}. */
export type FieldSet = Set<string>;

const SEPARATOR = '\u0000';

/** Members that say which object is meant, or that only the server writes; nobody owns them. */
const UNOWNED = new Set([
  'apiVersion',
  'kind',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'metadata.resourceVersion',
  'metadata.generation',
  'metadata.creationTimestamp',
  'metadata.deletionTimestamp',
  'metadata.deletionGracePeriodSeconds',
  'metadata.managedFields',
  'metadata.selfLink',
  'metadata.generateName',
]);

/** The part of a path that tells an item of a keyed list apart. */
export function itemSegment(item: unknown, keys: readonly string[]): string {
  const object = isJsonObject(item) ? item : {};
  const identity = keys.map((key) => [key, object[key] ?? (key === 'protocol' ? 'TCP' : undefined)]);
  return `k:${JSON.stringify(Object.fromEntries(identity.filter(([, value]) => value !== undefined)))}`;
}

/** Every field that an object has. */
export function fieldsOf(object: JsonObject, shape: MergeShape): FieldSet {
  const fields: FieldSet = new Set();

  function collect(value: unknown, at: MergeShape, path: readonly string[], names: string): void {
    const { listKeys } = at;
    const keys = Array.isArray(listKeys) ? (listKeys as readonly string[]) : undefined;
    if (isJsonObject(value) && !at.isAtomic && Object.keys(value).length > 0) {
      for (const [name, member] of Object.entries(value)) {
        const memberNames = names === '' ? name : `${names}.${name}`;
        if (!UNOWNED.has(memberNames)) collect(member, at.member(name), [...path, `f:${name}`], memberNames);
      }
    } else if (Array.isArray(value) && listKeys === 'set') {
      for (const item of value) fields.add([...path, `v:${JSON.stringify(item)}`].join(SEPARATOR));
    } else if (Array.isArray(value) && keys !== undefined) {
      for (const item of value) {
        const itemPath = [...path, itemSegment(item, keys)];
        fields.add([...itemPath, '.'].join(SEPARATOR));
        collect(item, at.item(), itemPath, 'item');
      }
    } else if (path.length > 0 && names !== 'metadata') fields.add(path.join(SEPARATOR));
  }

  collect(object, shape, [], '');
  return fields;
}

/** The place that a path leads to, with what holds it. */
function resolve(
  object: unknown,
  path: string,
): { readonly holder: unknown; readonly key: string | number; readonly value: unknown } | undefined {
  let holder: unknown;
  let key: string | number = '';
  let value: unknown = object;
  for (const segment of path.split(SEPARATOR)) {
    if (segment === '.') break;
    holder = value;
    const kind = segment.slice(0, 2);
    if (kind === 'f:') {
      if (!isJsonObject(holder)) return undefined;
      key = segment.slice(2);
      value = holder[key];
    } else {
      if (!Array.isArray(holder)) return undefined;
      const wanted: unknown = JSON.parse(segment.slice(2));
      key = holder.findIndex((item) =>
        kind === 'v:'
          ? jsonEquals(item, wanted)
          : isJsonObject(item) &&
            Object.entries(wanted as JsonObject).every(([name, part]) =>
              jsonEquals(item[name] ?? (name === 'protocol' ? 'TCP' : undefined), part),
            ),
      );
      if (key < 0) return undefined;
      value = holder[key];
    }
    if (value === undefined) return undefined;
  }
  return { holder, key, value };
}

/** Whether a field has the same value in two objects; for the existence of a list's item, whether both have it. */
export function sameAt(path: string, left: JsonObject, right: JsonObject): boolean {
  const [a, b] = [resolve(left, path), resolve(right, path)];
  if (path.endsWith(`${SEPARATOR}.`)) return (a === undefined) === (b === undefined);
  return jsonEquals(a?.value, b?.value);
}

/** Removes a field, in place. */
export function removeAt(path: string, object: JsonObject): void {
  const place = resolve(object, path);
  if (place === undefined) return;
  if (Array.isArray(place.holder)) place.holder.splice(place.key as number, 1);
  else if (isJsonObject(place.holder)) delete place.holder[place.key];
}

/** The objects that a path leads through, the innermost first: each by its own path. Items of lists are none of them. */
function* objectsAbove(path: string): Generator<string> {
  const segments = path.split(SEPARATOR);
  for (let length = segments.length - 1; length > 0 && segments[length - 1]?.startsWith('f:') === true; length--)
    yield segments.slice(0, length).join(SEPARATOR);
}

/**
 * Takes away the objects around a removed field that have nothing left in them.
 *
 * @param isWanted Whether somebody owns an object as such, empty as it is.
 */
export function removeEmptied(path: string, object: JsonObject, isWanted: (path: string) => boolean): void {
  for (const above of objectsAbove(path)) {
    const value = resolve(object, above)?.value;
    if (!isJsonObject(value) || Object.keys(value).length > 0 || isWanted(above)) return;
    removeAt(above, object);
  }
}

/** A field as messages show it: `.spec.containers[name="a"].image`. */
export function showField(path: string): string {
  return path
    .split(SEPARATOR)
    .map((segment) => {
      if (segment.startsWith('f:')) return `.${segment.slice(2)}`;
      if (segment.startsWith('v:')) return `[=${segment.slice(2)}]`;
      if (!segment.startsWith('k:')) return '';
      const keys = Object.entries(JSON.parse(segment.slice(2)) as JsonObject);
      return `[${keys.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',')}]`;
    })
    .join('');
}

/** The form in which objects carry a set of fields. */
export function encodeFieldsV1(fields: FieldSet): JsonObject {
  const root: JsonObject = {};
  for (const path of fields) {
    let node = root;
    for (const segment of path.split(SEPARATOR)) {
      node[segment] ??= {};
      node = node[segment] as JsonObject;
    }
  }
  return root;
}

/** Reads {@link encodeFieldsV1} back. */
export function decodeFieldsV1(encoded: unknown): FieldSet {
  const fields: FieldSet = new Set();
  function walk(node: unknown, path: readonly string[]): void {
    if (!isJsonObject(node)) return;
    const entries = Object.entries(node);
    if (entries.length === 0 && path.length > 0) fields.add(path.join(SEPARATOR));
    for (const [segment, child] of entries) walk(child, [...path, segment]);
  }
  walk(encoded, []);
  return fields;
}
