import { nearestName } from '@meltemi/base';
import { isJsonObject } from '../objects/json-value.ts';
import type { FieldShape, FieldTable } from './field-table.ts';

/** By the path of an unknown member: the name that was most likely meant. */
export type FieldSuggestions = Map<string, string>;

/** What a walk over an object of a built-in kind found. */
export interface FieldFindings {
  /** Paths of members that the kind does not have; they were removed. */
  readonly unknown: string[];
  /** Values of a wrong type, as sentences with their paths. */
  readonly mistyped: string[];
  readonly suggestions: FieldSuggestions;
}

const EXPECTED: Readonly<Record<string, readonly [string, (value: unknown) => boolean]>> = {
  s: ['a string', (value) => typeof value === 'string'],
  b: ['a boolean', (value) => typeof value === 'boolean'],
  i: ['an integer', (value) => Number.isInteger(value)],
  d: ['a number', (value) => typeof value === 'number'],
  y: ['base64 text', (value) => typeof value === 'string' && /^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value)],
  T: ['a time such as 2030-01-31T12:00:00Z', (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value))],
  M: [
    'a time such as 2030-01-31T12:00:00.000000Z',
    (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value)),
  ],
  Q: [
    'a quantity such as 100m or 1Gi',
    (value) =>
      typeof value === 'number' ||
      (typeof value === 'string' && /^[+-]?[0-9.]+([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/.test(value)),
  ],
  O: ['an integer or a string', (value) => typeof value === 'string' || Number.isInteger(value)],
};

/**
 * Removes members that a built-in kind does not have, in place, and finds values of a wrong type.
 *
 * @param messageName The kind in the table, such as `core.Pod`. `apiVersion` and `kind` are always allowed.
 */
export function checkFields(table: FieldTable, messageName: string, object: unknown): FieldFindings {
  const findings: FieldFindings = { unknown: [], mistyped: [], suggestions: new Map() };

  function walkMessage(name: string, value: unknown, path: string): void {
    if (!isJsonObject(value)) return void findings.mistyped.push(`${path} must be an object`);
    const { byName } = table.message(name);
    for (const [member, content] of Object.entries(value)) {
      const memberPath = path === '' ? member : `${path}.${member}`;
      const field = byName.get(member);
      if (field === undefined) {
        if (path === '' && (member === 'apiVersion' || member === 'kind')) continue;
        delete value[member];
        findings.unknown.push(memberPath);
        const near = nearestName(member, byName.keys());
        if (near !== undefined) findings.suggestions.set(memberPath, near);
      } else if (content === null) delete value[member];
      else walk(field.shape, content, memberPath);
    }
  }

  function walk(shape: FieldShape, value: unknown, path: string): void {
    switch (shape.of) {
      case 'message':
        return walkMessage(shape.message, value, path);
      case 'wrapped':
        return walk(shape.item, value, path);
      case 'list':
        if (!Array.isArray(value)) return void findings.mistyped.push(`${path} must be a list`);
        return value.forEach((element, index) => walk(shape.item, element, `${path}[${index}]`));
      case 'map':
        if (!isJsonObject(value)) return void findings.mistyped.push(`${path} must be an object`);
        for (const [key, element] of Object.entries(value)) walk(shape.item, element, `${path}.${key}`);
        return;
      case 'scalar': {
        const [wanted, fits] = EXPECTED[shape.letter] ?? ['', () => true];
        if (!fits(value)) findings.mistyped.push(`${path} must be ${wanted}, not ${JSON.stringify(value)}`);
      }
    }
  }

  walkMessage(messageName, object, '');
  return findings;
}
