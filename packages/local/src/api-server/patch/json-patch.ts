import { err, ok, type Result } from '@meltemi/base';
import { isJsonObject, type JsonObject, jsonEquals } from '../objects/json-value.ts';

function parsePointer(pointer: unknown): string[] | undefined {
  if (typeof pointer !== 'string' || (pointer !== '' && !pointer.startsWith('/'))) return undefined;
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** Position in a list that a pointer's last part means; `-` is the place after the end. */
function indexIn(list: readonly unknown[], part: string, allowEnd: boolean): number | undefined {
  if (part === '-' && allowEnd) return list.length;
  if (!/^(0|[1-9]\d*)$/.test(part)) return undefined;
  const index = Number(part);
  return index < list.length || (allowEnd && index === list.length) ? index : undefined;
}

function valueAt(root: unknown, path: readonly string[]): { readonly found: boolean; readonly value?: unknown } {
  let current = root;
  for (const part of path) {
    if (Array.isArray(current)) {
      const index = indexIn(current, part, false);
      if (index === undefined) return { found: false };
      current = current[index];
    } else if (isJsonObject(current) && Object.hasOwn(current, part)) current = current[part];
    else return { found: false };
  }
  return { found: true, value: current };
}

type Edit = 'add' | 'replace' | 'remove';

/** Changes one place of a document in place; `false` when the place is not there. */
function edit(root: { document: unknown }, path: readonly string[], operation: Edit, value: unknown): boolean {
  if (path.length === 0) {
    root.document = operation === 'remove' ? null : value;
    return true;
  }
  const parent = valueAt(root.document, path.slice(0, -1));
  const last = path.at(-1) as string;
  if (!parent.found) return false;
  if (Array.isArray(parent.value)) {
    const index = indexIn(parent.value, last, operation === 'add');
    if (index === undefined) return false;
    if (operation === 'add') parent.value.splice(index, 0, value);
    else if (operation === 'replace') parent.value[index] = value;
    else parent.value.splice(index, 1);
    return true;
  }
  if (!isJsonObject(parent.value)) return false;
  const target: JsonObject = parent.value;
  if (operation !== 'add' && !Object.hasOwn(target, last)) return false;
  if (last === '__proto__') return false;
  if (operation === 'remove') delete target[last];
  else target[last] = value;
  return true;
}

/**
 * Applies a JSON patch (RFC 6902): all of its operations, or none.
 *
 * @returns The changed copy, or which operation could not be done.
 */
export function applyJsonPatch(document: unknown, patch: unknown): Result<unknown> {
  if (!Array.isArray(patch)) return err('a JSON patch is a list of operations');
  const root = { document: structuredClone(document) };
  for (const [index, step] of patch.entries()) {
    const operation = isJsonObject(step) ? step : {};
    const path = parsePointer(operation['path']);
    const where = `operation ${index} (${String(operation['op'])} ${String(operation['path'])})`;
    if (path === undefined) return err(`${where}: the path is not a JSON pointer`);
    const missing = err(`${where}: there is nothing at this path`);
    switch (operation['op']) {
      case 'add':
      case 'replace':
        if (!edit(root, path, operation['op'], structuredClone(operation['value']))) return missing;
        break;
      case 'remove':
        if (!edit(root, path, 'remove', undefined)) return missing;
        break;
      case 'move':
      case 'copy': {
        const from = parsePointer(operation['from']);
        const source = from === undefined ? { found: false } : valueAt(root.document, from);
        if (from === undefined || !source.found) return missing;
        const value = structuredClone(source.value);
        if (operation['op'] === 'move') edit(root, from, 'remove', undefined);
        if (!edit(root, path, 'add', value)) return missing;
        break;
      }
      case 'test': {
        const actual = valueAt(root.document, path);
        if (!actual.found || !jsonEquals(actual.value, operation['value'])) return err(`${where}: the value differs`);
        break;
      }
      default:
        return err(`${where}: unknown operation`);
    }
  }
  return ok(root.document);
}
