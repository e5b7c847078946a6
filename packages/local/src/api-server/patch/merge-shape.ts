import type { ResourceType } from '../kinds/resource-type.ts';
import type { FieldShape, FieldTable } from '../schema/field-table.ts';
import { kubernetesFields } from '../schema/field-table.ts';
import type { StructuralSchema } from '../schema/structural-schema.ts';

/** How values of one place in a kind merge under server-side apply. */
export interface MergeShape {
  /** Members of an object; an object whose members are not known one by one is merged all the same. */
  member(name: string): MergeShape;
  /** Members that tell the items of a list apart; `set` for lists of plain values; `undefined` replaces the list. */
  readonly listKeys: readonly string[] | 'set' | undefined;
  readonly item: () => MergeShape;
  /** Whether an object here is replaced as a whole. */
  readonly isAtomic: boolean;
}

const UNKNOWN: MergeShape = { member: () => UNKNOWN, listKeys: undefined, item: () => UNKNOWN, isAtomic: false };
const ATOMIC: MergeShape = { ...UNKNOWN, isAtomic: true };

function ofFieldShape(table: FieldTable, shape: FieldShape | undefined, mergeKey: string | undefined): MergeShape {
  if (shape === undefined) return UNKNOWN;
  if (shape.of === 'scalar') return ATOMIC;
  if (shape.of === 'map') return { ...UNKNOWN, member: () => ofFieldShape(table, shape.item, undefined) };
  if (shape.of === 'message')
    return {
      ...UNKNOWN,
      member(name) {
        const field = table.message(shape.message).byName.get(name);
        return ofFieldShape(table, field?.shape, field?.mergeKey);
      },
    };
  // The same port may be open for two protocols, so a port number alone does not tell items apart.
  const isPort = mergeKey === 'port' || mergeKey === 'containerPort';
  const listKeys =
    mergeKey === undefined ? undefined : mergeKey === '' ? 'set' : isPort ? [mergeKey, 'protocol'] : [mergeKey];
  return { ...UNKNOWN, listKeys, item: () => ofFieldShape(table, shape.item, undefined) };
}

function ofSchema(schema: StructuralSchema | undefined): MergeShape {
  if (schema === undefined) return UNKNOWN;
  const listType = schema['x-kubernetes-list-type'];
  return {
    member(name) {
      const extra = schema.additionalProperties;
      return ofSchema(schema.properties?.[name] ?? (typeof extra === 'object' ? extra : undefined));
    },
    listKeys: listType === 'set' ? 'set' : listType === 'map' ? schema['x-kubernetes-list-map-keys'] : undefined,
    item: () => ofSchema(schema.items),
    isAtomic: schema['x-kubernetes-map-type'] === 'atomic',
  };
}

/** How objects of a kind merge. */
export function mergeShapeOf(type: ResourceType): MergeShape {
  const table = kubernetesFields();
  const metadata = ofFieldShape(table, { of: 'message', message: 'meta.ObjectMeta' }, undefined);
  const content =
    type.fields === undefined
      ? ofSchema(type.schema)
      : ofFieldShape(table, { of: 'message', message: type.fields }, undefined);
  return { ...content, member: (name) => (name === 'metadata' ? metadata : content.member(name)) };
}
