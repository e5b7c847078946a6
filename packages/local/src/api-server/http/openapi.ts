import { sha256Hex } from '@meltemi/base';
import type { ResourceType } from '../kinds/resource-type.ts';
import { apiVersionOf } from '../kinds/resource-type.ts';
import type { JsonObject } from '../objects/json-value.ts';
import { type FieldShape, kubernetesFields } from '../schema/field-table.ts';

const TYPES_OF_LETTERS: Readonly<Record<string, JsonObject>> = {
  s: { type: 'string' },
  b: { type: 'boolean' },
  i: { type: 'integer', format: 'int64' },
  d: { type: 'number' },
  y: { type: 'string', format: 'byte' },
  T: { type: 'string', format: 'date-time' },
  M: { type: 'string', format: 'date-time' },
  Q: { type: 'string' },
  O: { type: 'string', format: 'int-or-string' },
};

function reference(message: string): JsonObject {
  return { $ref: `#/components/schemas/${message}` };
}

function schemaOfShape(shape: FieldShape, needed: Set<string>): JsonObject {
  if (shape.of === 'scalar') return TYPES_OF_LETTERS[shape.letter] ?? { type: 'object' };
  if (shape.of === 'message') {
    needed.add(shape.message);
    return { allOf: [reference(shape.message)], default: {} };
  }
  const item = schemaOfShape(shape.item, needed);
  if (shape.of === 'map') return { type: 'object', additionalProperties: item };
  return shape.of === 'list' ? { type: 'array', items: item } : item;
}

function schemaOfMessage(message: string, needed: Set<string>): JsonObject {
  const fields = [...kubernetesFields().message(message).byName.values()];
  return {
    type: 'object',
    properties: Object.fromEntries(fields.map(({ name, shape }) => [name, schemaOfShape(shape, needed)])),
  };
}

const OBJECT_HEAD = { apiVersion: { type: 'string' }, kind: { type: 'string' } };

function schemaOfType(type: ResourceType, needed: Set<string>): JsonObject {
  const content: JsonObject =
    type.fields !== undefined ? schemaOfMessage(type.fields, needed) : { type: 'object', ...type.schema };
  needed.add('meta.ObjectMeta');
  const metadata = { allOf: [reference('meta.ObjectMeta')] };
  return {
    ...content,
    properties: { ...OBJECT_HEAD, ...(content['properties'] as JsonObject | undefined), metadata },
    'x-kubernetes-group-version-kind': [{ group: type.group, kind: type.kind, version: type.version }],
  };
}

function pathsOf(type: ResourceType, schemaName: string): [string, JsonObject][] {
  const root = `/${type.group === '' ? 'api' : 'apis'}/${apiVersionOf(type)}${type.isNamespaced ? '/namespaces/{namespace}' : ''}/${type.plural}`;
  const gvk = { group: type.group, kind: type.kind, version: type.version };
  const operation = (action: string): JsonObject => ({
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvk,
    // kubectl leaves the check of unknown fields to a server that names these parameters.
    parameters: ['dryRun', 'fieldManager', 'fieldValidation'].map((name) => ({
      name,
      in: 'query',
      schema: { type: 'string', uniqueItems: true },
    })),
    responses: { 200: { description: 'OK', content: { 'application/json': { schema: reference(schemaName) } } } },
  });
  if (type.isVirtual) return [[root, { post: operation('post') }]];
  return [
    [root, { get: operation('list'), post: operation('post') }],
    [
      `${root}/{name}`,
      { get: operation('get'), put: operation('put'), patch: operation('patch'), delete: operation('delete') },
    ],
  ];
}

/** OpenAPI v3 of what is served, made when asked for and kept until the kinds change. */
export interface OpenApi {
  /** The list of documents, one per group and version, with hashes that change as they do. */
  index(): object;
  /** One document, by its name in the index such as `apis/apps/v1`; `undefined` when there is none. */
  document(name: string): string | undefined;
}

/** Creates it over the kinds. */
export function createOpenApi({
  all,
  generation,
}: {
  readonly all: () => readonly ResourceType[];
  readonly generation: () => number;
}): OpenApi {
  let documents = new Map<string, string>();
  let madeAt = -1;

  function fresh(): Map<string, string> {
    if (madeAt !== generation()) documents = new Map();
    madeAt = generation();
    return documents;
  }

  const nameOf = (type: ResourceType): string => `${type.group === '' ? 'api' : 'apis'}/${apiVersionOf(type)}`;

  function build(name: string): string | undefined {
    const types = all().filter((type) => nameOf(type) === name);
    if (types.length === 0) return undefined;
    const needed = new Set<string>();
    const schemas: JsonObject = {};
    const paths: [string, JsonObject][] = [];
    for (const type of types) {
      const schemaName = type.fields ?? `${type.group}.${type.version}.${type.kind}`;
      schemas[schemaName] = schemaOfType(type, needed);
      paths.push(...pathsOf(type, schemaName));
    }
    // Adding to a set while walking it also walks what was added.
    for (const message of needed) schemas[message] ??= schemaOfMessage(message, needed);
    return JSON.stringify({
      openapi: '3.0.0',
      info: { title: 'Meltemi', version: 'v1' },
      paths: Object.fromEntries(paths),
      components: { schemas },
    });
  }

  return {
    index() {
      const names = [...new Set(all().map(nameOf))];
      const hashOf = (name: string): string =>
        sha256Hex(JSON.stringify(all().filter((type) => nameOf(type) === name)))
          .slice(0, 32)
          .toUpperCase();
      return {
        paths: Object.fromEntries(
          names.map((name) => [name, { serverRelativeURL: `/openapi/v3/${name}?hash=${hashOf(name)}` }]),
        ),
      };
    },
    document(name) {
      const known = fresh().get(name) ?? build(name);
      if (known !== undefined) documents.set(name, known);
      return known;
    },
  };
}
