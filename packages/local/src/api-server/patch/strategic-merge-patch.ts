import { isJsonObject, type JsonObject, jsonEquals, listOf } from '../objects/json-value.ts';
import type { FieldShape, FieldTable } from '../schema/field-table.ts';

function isDirective(name: string): boolean {
  return name.startsWith('$setElementOrder/') || name === '$retainKeys' || name === '$patch';
}

/** A value without the notes to the server that a patch may carry. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value))
    return value.filter((item) => !(isJsonObject(item) && item['$patch'] === 'delete')).map(withoutDirectives);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(
        ([name, member]) => !isDirective(name) && !name.startsWith('$deleteFromPrimitiveList/') && member !== null,
      )
      .map(([name, member]) => [name, withoutDirectives(member)]),
  );
}

/** Brings a list into the order that `$setElementOrder` asks for; items it does not name keep their place at the end. */
function reorder(items: readonly unknown[], order: readonly unknown[], keyOf: (item: unknown) => unknown): unknown[] {
  const positions = new Map(order.map((item, index) => [keyOf(item), index]));
  return items
    .map((item, index) => ({ item, position: positions.get(keyOf(item)) ?? order.length + index }))
    .sort((left, right) => left.position - right.position)
    .map(({ item }) => item);
}

/**
 * Applies a strategic merge patch to an object of a built-in kind: lists merge by the keys that the table of fields gives.
 *
 * @param messageName The kind in the table, such as `apps.Deployment`.
 */
export function applyStrategicMergePatch(
  table: FieldTable,
  messageName: string,
  target: JsonObject,
  patch: JsonObject,
): JsonObject {
  function mergeMessage(name: string | undefined, old: unknown, change: JsonObject): JsonObject {
    if (change['$patch'] === 'replace') return withoutDirectives(change) as JsonObject;
    const result: JsonObject = isJsonObject(old) ? { ...old } : {};
    const retained = change['$retainKeys'];
    if (Array.isArray(retained)) for (const key of Object.keys(result)) if (!retained.includes(key)) delete result[key];
    for (const [member, value] of Object.entries(change)) {
      if (member.startsWith('$deleteFromPrimitiveList/')) {
        const list = member.slice('$deleteFromPrimitiveList/'.length);
        result[list] = listOf(result[list]).filter((item) => !listOf(value).includes(item));
      } else if (isDirective(member)) continue;
      else if (value === null) delete result[member];
      else if (isJsonObject(value) && value['$patch'] === 'delete') delete result[member];
      else result[member] = mergeMember(name, member, result[member], value, change[`$setElementOrder/${member}`]);
    }
    return result;
  }

  function mergeMember(
    parent: string | undefined,
    member: string,
    old: unknown,
    change: unknown,
    order: unknown,
  ): unknown {
    const field = parent === undefined ? undefined : table.message(parent).byName.get(member);
    const shape: FieldShape | undefined = field?.shape;
    if (isJsonObject(change)) return mergeMessage(shape?.of === 'message' ? shape.message : undefined, old, change);
    if (!Array.isArray(change) || field?.mergeKey === undefined || !Array.isArray(old))
      return withoutDirectives(change);
    const item = shape?.of === 'list' && shape.item.of === 'message' ? shape.item.message : undefined;
    return mergeList(item, field.mergeKey, old, change, order);
  }

  function mergeList(
    item: string | undefined,
    mergeKey: string,
    old: readonly unknown[],
    change: readonly unknown[],
    order: unknown,
  ): unknown[] {
    const keyOf = (element: unknown): unknown =>
      mergeKey === '' ? element : isJsonObject(element) ? element[mergeKey] : undefined;
    if (change.some((element) => isJsonObject(element) && element['$patch'] === 'replace'))
      return change
        .filter((element) => !(isJsonObject(element) && element['$patch'] === 'replace'))
        .map(withoutDirectives);
    let result = [...old];
    const added: unknown[] = [];
    for (const element of change) {
      const index = result.findIndex((existing) => jsonEquals(keyOf(existing), keyOf(element)));
      if (isJsonObject(element) && element['$patch'] === 'delete')
        result = result.filter((existing) => keyOf(existing) !== keyOf(element));
      else if (index < 0) added.push(withoutDirectives(element));
      else if (isJsonObject(element)) result[index] = mergeMessage(item, result[index], element);
    }
    // Without an order of its own the patch's new objects come before the old ones.
    result = mergeKey === '' ? [...result, ...added] : [...added, ...result];
    return Array.isArray(order) ? reorder(result, order, keyOf) : result;
  }

  return mergeMessage(messageName, target, patch);
}
