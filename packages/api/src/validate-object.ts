import { nearestName } from '@meltemi/base/pure';
import { createFindingList, type Finding, hasErrors } from './finding.ts';
import { findKind, KINDS } from './kinds/kinds.ts';
import type { KubernetesObject } from './object.ts';
import { isDnsLabel, type RuleContext } from './rules/field-rules.ts';
import { checkMessage } from './schema/check-message.ts';
import { normaliseMessage } from './schema/normalise.ts';

const TOP_LEVEL_FIELDS: readonly string[] = ['apiVersion', 'kind', 'metadata', 'spec', 'status'];

/** What became of an object. */
export interface ValidatedObject {
  /** All findings, errors and warnings. */
  readonly findings: readonly Finding[];
  /** The object in its normal form (camelCase names); absent when there are errors. */
  readonly object?: KubernetesObject;
}

/**
 * Checks an object of any kind of the mesh's API, as decoded from JSON or YAML: first its shape, then, when that is
 * sound, the rules of its kind.
 *
 * @param value The object; it is not changed.
 */
export function validateObject(value: unknown, options: Pick<RuleContext, 'checkRegex'> = {}): ValidatedObject {
  const findings = createFindingList();
  const object = readEnvelope(value);
  if (object === undefined) {
    findings.error('', 'must be an object with apiVersion, kind and metadata.name');
    return { findings: findings.all };
  }
  const [group = '', version = ''] = object.apiVersion.split('/');
  const definition = findKind(group, object.kind);
  if (definition === undefined) {
    findings.error('kind', unknownKindMessage(object.kind, object.apiVersion));
    return { findings: findings.all };
  }
  if (!definition.versions.includes(version)) {
    findings.error('apiVersion', `"${object.apiVersion}" is not served; use ${group}/${definition.storageVersion}`);
  }
  for (const key of Object.keys(object)) {
    if (TOP_LEVEL_FIELDS.includes(key)) continue;
    const near = nearestName(key, TOP_LEVEL_FIELDS);
    findings.error(key, `unknown field; ${near === undefined ? 'remove it' : `did you mean ${near}?`}`);
  }
  if (!object.metadata.name.split('.').every(isDnsLabel)) {
    findings.error('metadata.name', `"${object.metadata.name}" must be lower-case letters, digits, - and .`);
  }
  const spec = normaliseMessage(definition.messages, definition.specMessage, object.spec ?? {});
  checkMessage(definition.messages, definition.specMessage, spec, 'spec', findings);
  if (hasErrors(findings.all)) return { findings: findings.all };
  const normal: KubernetesObject = { ...object, spec };
  const namespace = object.metadata.namespace ?? 'default';
  const all = [...findings.all, ...definition.validateSpec(normal, { namespace, ...options })];
  return hasErrors(all) ? { findings: all } : { findings: all, object: normal };
}

function readEnvelope(value: unknown): KubernetesObject | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { apiVersion, kind, metadata } = value as Partial<KubernetesObject>;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') return undefined;
  if (typeof metadata !== 'object' || metadata === null || typeof metadata.name !== 'string') return undefined;
  // The three members that make an object of the API are there and have the right types; `spec` is still unknown.
  return value as KubernetesObject;
}

function unknownKindMessage(kind: string, apiVersion: string): string {
  const near = nearestName(
    kind,
    KINDS.map((definition) => definition.kind),
  );
  const known = KINDS.map((definition) => `${definition.kind} (${definition.group}/${definition.storageVersion})`);
  const hint = near === undefined || near === kind ? '' : `; did you mean ${near}?`;
  return `"${kind}" of ${apiVersion} is not known${hint}; known are ${known.join(', ')}`;
}
