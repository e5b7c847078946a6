import type { StatusCause } from '../errors.ts';
import { isJsonObject, type JsonObject, listOf, memberAt, objectOf, textOf } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import type { PrinterColumn, ResourceType } from './resource-type.ts';

function dotted(path: unknown): readonly string[] {
  return textOf(path).replace(/^\./, '').split('.');
}

function stringsOf(value: unknown): string[] {
  return listOf(value).filter((item) => typeof item === 'string');
}

function scaleOf(version: JsonObject): ResourceType['scale'] {
  const scale = memberAt(version, 'subresources', 'scale');
  if (!isJsonObject(scale)) return undefined;
  return {
    specReplicas: dotted(scale['specReplicasPath']),
    statusReplicas: dotted(scale['statusReplicasPath']),
    selector: scale['labelSelectorPath'] === undefined ? undefined : dotted(scale['labelSelectorPath']),
  };
}

/** The kinds that a CustomResourceDefinition serves, one per served version. */
export function typesOfCrd(crd: KubeObject): ResourceType[] {
  const spec = objectOf(crd.spec);
  const names = objectOf(spec['names']);
  const kind = textOf(names['kind']);
  return listOf(spec['versions'])
    .map(objectOf)
    .filter((version) => version['served'] === true)
    .map((version) => ({
      group: textOf(spec['group']),
      version: textOf(version['name']),
      plural: textOf(names['plural']),
      singular: textOf(names['singular']) || kind.toLowerCase(),
      kind,
      isNamespaced: spec['scope'] === 'Namespaced',
      shortNames: stringsOf(names['shortNames']),
      categories: stringsOf(names['categories']),
      hasStatus: isJsonObject(memberAt(version, 'subresources', 'status')),
      hasGeneration: true,
      scale: scaleOf(version),
      fields: undefined,
      // The shape was checked when the definition was stored: validateCrd.
      schema: (memberAt(version, 'schema', 'openAPIV3Schema') ?? {}) as StructuralSchema,
      printerColumns: Array.isArray(version['additionalPrinterColumns'])
        ? (version['additionalPrinterColumns'] as PrinterColumn[])
        : undefined,
      isManaged: true,
      isVirtual: false,
    }));
}

/** What is wrong with a CustomResourceDefinition, as far as it would hurt to serve it. */
export function validateCrd(crd: KubeObject): StatusCause[] {
  const causes: StatusCause[] = [];
  const refuse = (field: string, message: string): void =>
    void causes.push({ reason: 'FieldValueInvalid', field, message });
  const spec = objectOf(crd.spec);
  const names = objectOf(spec['names']);
  for (const name of ['plural', 'kind'])
    if (textOf(names[name]) === '')
      causes.push({ reason: 'FieldValueRequired', field: `spec.names.${name}`, message: 'Required value' });
  if (crd.metadata.name !== `${textOf(names['plural'])}.${textOf(spec['group'])}`)
    refuse('metadata.name', `Invalid value: "${crd.metadata.name}": must be spec.names.plural+"."+spec.group`);
  if (spec['scope'] !== 'Namespaced' && spec['scope'] !== 'Cluster')
    refuse('spec.scope', 'Unsupported value: supported values: "Cluster", "Namespaced"');
  const versions = listOf(spec['versions']).map(objectOf);
  if (versions.filter((version) => version['storage'] === true).length !== 1)
    refuse('spec.versions', 'Invalid value: must have exactly one version marked as storage version');
  for (const [index, version] of versions.entries()) {
    const root = memberAt(version, 'schema', 'openAPIV3Schema');
    if (!isJsonObject(root))
      causes.push({
        reason: 'FieldValueRequired',
        field: `spec.versions[${index}].schema.openAPIV3Schema`,
        message: 'Required value: schemas are required',
      });
    else if (root['type'] !== 'object')
      refuse(`spec.versions[${index}].schema.openAPIV3Schema.type`, 'Invalid value: must be object at the root');
  }
  if (memberAt(spec, 'conversion', 'strategy') === 'Webhook')
    refuse(
      'spec.conversion.strategy',
      'Unsupported value: "Webhook": this server converts between versions by apiVersion only ("None")',
    );
  return causes;
}

/** The definition as its acceptance leaves it: names accepted, established, its storage version noted. */
export function establishCrd(crd: KubeObject, now: string): KubeObject {
  const spec = objectOf(crd.spec);
  const names = objectOf(spec['names']);
  const singular = textOf(names['singular']) || textOf(names['kind']).toLowerCase();
  const listKind = textOf(names['listKind']) || `${textOf(names['kind'])}List`;
  const accepted = { ...names, singular, listKind };
  const storage = listOf(spec['versions'])
    .map(objectOf)
    .find((version) => version['storage'] === true);
  const stored = new Set([...stringsOf(crd.status?.['storedVersions']), textOf(storage?.['name'])]);
  const known = listOf(crd.status?.['conditions']).map(objectOf);
  const condition = (type: string, reason: string, message: string): JsonObject =>
    known.find((item) => item['type'] === type) ?? { type, status: 'True', reason, message, lastTransitionTime: now };
  return {
    ...crd,
    spec: { conversion: { strategy: 'None' }, ...spec, names: accepted },
    status: {
      acceptedNames: accepted,
      storedVersions: [...stored],
      conditions: [
        condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
        condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
      ],
    },
  };
}
