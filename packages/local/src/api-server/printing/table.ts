import type { ResourceType } from '../kinds/resource-type.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { atVersion } from '../rest/read-objects.ts';
import type { StoredObject } from '../store/object-store.ts';
import { columnsOf } from './columns.ts';

/** Whether a client asks for rows instead of objects. */
export function wantsTable(accept: string | undefined): boolean {
  return (accept ?? '')
    .split(',')
    .some(
      (part) =>
        (part.includes('as=Table') && part.includes('v=v1;')) ||
        (part.trim().endsWith('v=v1') && part.includes('as=Table')),
    );
}

interface TableRequest {
  readonly type: ResourceType;
  readonly stored: readonly StoredObject[];
  readonly query: URLSearchParams;
  /** Column definitions go with the first table of a watch only. */
  readonly isFirst: boolean;
  readonly revision: number;
  readonly nowMs: number;
}

/** Writes objects as the Table that `kubectl get` shows. */
export function printTable({ type, stored, query, isFirst, revision, nowMs }: TableRequest): string {
  const columns = columnsOf(type);
  const includeObject = query.get('includeObject') ?? 'Metadata';
  const partOf = (object: KubeObject): object | null => {
    if (includeObject === 'None') return null;
    if (includeObject === 'Object') return atVersion(type, object);
    return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
  };
  const [single] = stored;
  return JSON.stringify({
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: {
      resourceVersion: stored.length === 1 && single !== undefined ? String(single.revision) : String(revision),
    },
    columnDefinitions: isFirst
      ? columns.map(({ name, type: columnType, priority, format }) => ({
          name,
          type: columnType,
          format,
          description: name,
          priority,
        }))
      : null,
    rows: stored.map(({ object }) => ({
      cells: columns.map((column) => column.cell(object, nowMs)),
      object: partOf(object),
    })),
  });
}
