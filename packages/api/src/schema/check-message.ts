import { nearestName, parseDurationMs } from '@meltemi/base/pure';
import { at, type FindingList } from '../finding.ts';
import { type FieldShape, fieldsOf, type MessageTable, oneofsOf, type ScalarTypes } from './message.ts';

const MAX_UINT32 = 2 ** 32 - 1;
const MAX_INT32 = 2 ** 31 - 1;

/**
 * Checks a value against a message: types, unknown and missing fields, enumerations, fields that exclude each other.
 *
 * @param path The field path of `value`.
 */
export function checkMessage(
  table: MessageTable,
  message: string,
  value: unknown,
  path: string,
  findings: FindingList,
): void {
  if (!isRecord(value)) {
    findings.error(path, `must be an object, is ${describe(value)}`);
    return;
  }
  const fields = fieldsOf(table, message);
  const names = fields.map((field) => field.name);
  for (const key of Object.keys(value)) {
    if (!names.includes(key)) findings.error(at(path, key), unknownFieldMessage(key, names));
  }
  for (const field of fields) {
    const member = value[field.name];
    if (member === undefined || member === null) {
      if (field.required) findings.error(at(path, field.name), 'is required; add it');
      continue;
    }
    checkShape(table, field.shape, member, at(path, field.name), findings);
  }
  for (const group of oneofsOf(table, message)) {
    const set = group.filter((name) => value[name] !== undefined && value[name] !== null);
    if (set.length > 1) findings.error(path, `has ${set.join(' and ')}, which exclude each other; keep one of them`);
  }
}

function unknownFieldMessage(key: string, names: readonly string[]): string {
  const near = nearestName(key, names);
  if (near !== undefined) return `unknown field; did you mean ${near}?`;
  return `unknown field; remove it (known: ${names.join(', ')})`;
}

function checkShape(table: MessageTable, shape: FieldShape, value: unknown, path: string, findings: FindingList): void {
  switch (shape.shape) {
    case 'message':
      return checkMessage(table, shape.message, value, path, findings);
    case 'enum':
      return checkEnum(shape.names, value, path, findings);
    case 'scalar':
      return checkScalar(shape.scalar, value, path, findings);
    case 'list':
      if (!Array.isArray(value)) {
        findings.error(path, `must be a list, is ${describe(value)}; write it as "- ..."`);
        return;
      }
      value.forEach((item, index) => {
        checkShape(table, shape.item, item, at(path, index), findings);
      });
      return;
    case 'map':
      if (!isRecord(value)) {
        findings.error(path, `must be an object, is ${describe(value)}`);
        return;
      }
      for (const [key, item] of Object.entries(value)) {
        checkShape(table, shape.item, item, `${path}[${key}]`, findings);
      }
  }
}

function checkEnum(names: readonly string[], value: unknown, path: string, findings: FindingList): void {
  if (typeof value === 'string' && names.includes(value)) return;
  const near = typeof value === 'string' ? nearestName(value, names) : undefined;
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  findings.error(path, `must be one of ${names.join(', ')}, is ${describe(value)}${hint}`);
}

function checkScalar(scalar: keyof ScalarTypes, value: unknown, path: string, findings: FindingList): void {
  const problem = SCALAR_CHECKS[scalar](value);
  if (problem !== undefined) findings.error(path, problem);
}

const SCALAR_CHECKS: Readonly<Record<keyof ScalarTypes, (value: unknown) => string | undefined>> = {
  string: (value) => {
    if (typeof value === 'string') return undefined;
    const quotable = typeof value === 'number' || typeof value === 'boolean';
    return `must be text, is ${describe(value)}${quotable ? `; quote it: "${String(value)}"` : ''}`;
  },
  bool: (value) => (typeof value === 'boolean' ? undefined : `must be true or false, is ${describe(value)}`),
  int32: (value) => checkInteger(value, -MAX_INT32 - 1, MAX_INT32),
  uint32: (value) => checkInteger(value, 0, MAX_UINT32),
  double: (value) =>
    typeof value === 'number' && Number.isFinite(value) ? undefined : `must be a number, is ${describe(value)}`,
  duration: (value) => {
    if (typeof value !== 'string') return `must be a duration such as 10s, is ${describe(value)}`;
    const parsed = parseDurationMs(value);
    return parsed.ok ? undefined : parsed.error;
  },
  bytes: (value) =>
    typeof value === 'string' && /^[A-Za-z0-9+/_-]*={0,2}$/.test(value) ? undefined : 'must be base64 text',
  struct: (value) => (isRecord(value) ? undefined : `must be an object, is ${describe(value)}`),
};

function checkInteger(value: unknown, minimum: number, maximum: number): string | undefined {
  if (typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum) return undefined;
  return `must be a whole number of ${minimum} to ${maximum}, is ${describe(value)}`;
}

function describe(value: unknown): string {
  if (typeof value === 'string') return `"${value}"`;
  if (Array.isArray(value)) return 'a list';
  if (value === null) return 'null';
  return typeof value === 'object' ? 'an object' : JSON.stringify(value);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
