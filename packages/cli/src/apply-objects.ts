import { MeltemiError, messageOf } from '@meltemi/base';
import type { KubeClient, KubeObject } from '@meltemi/kube';
import { KindsCatalog } from './kinds-catalog.ts';

/** Kinds that others need to exist first, in the order they are applied. */
const FIRST_KINDS = [
  'CustomResourceDefinition',
  'Namespace',
  'ServiceAccount',
  'Secret',
  'ConfigMap',
  'ClusterRole',
  'Role',
  'ClusterRoleBinding',
  'RoleBinding',
  'Service',
];

function rank(object: KubeObject): number {
  const index = FIRST_KINDS.indexOf(object.kind);
  return index < 0 ? FIRST_KINDS.length : index;
}

/** Groups of which each needs those before it. Within a group the order does not matter. */
export function groupByRank<Item>(items: readonly Item[], objectOf: (item: Item) => KubeObject): Item[][] {
  return [...Map.groupBy(items, (item) => rank(objectOf(item)))]
    .sort(([left], [right]) => left - right)
    .map(([, group]) => group);
}

/** What {@link applyObjects} is told. */
export interface ApplyObjectsOptions {
  readonly client: KubeClient;
  readonly objects: readonly KubeObject[];
  /** For objects that name none. */
  readonly namespace: string;
  readonly fieldManager: string;
}

/**
 * Applies objects in an order that works on an empty cluster: definitions and namespaces first; objects of one rank at
 * the same time.
 *
 * @throws MeltemiError naming the first object that was refused.
 */
export async function applyObjects({ client, objects, namespace, fieldManager }: ApplyObjectsOptions): Promise<void> {
  let catalog = await KindsCatalog.read(client);
  for (const group of groupByRank(objects, (object) => object)) {
    await Promise.all(
      group.map(async (object) => {
        const entry = catalog.byObject(object.apiVersion, object.kind);
        if (entry === undefined)
          throw new MeltemiError(
            'FAILED',
            `Cannot apply ${object.kind} ${object.metadata.name}: the server does not serve ${object.apiVersion}`,
          );
        const metadata = entry.ref.namespaced
          ? { ...object.metadata, namespace: object.metadata.namespace ?? namespace }
          : object.metadata;
        try {
          await client.apply(entry.ref, { ...object, metadata }, { fieldManager });
        } catch (cause) {
          throw new MeltemiError('FAILED', `Cannot apply ${object.kind} ${object.metadata.name}: ${messageOf(cause)}`, {
            cause,
          });
        }
      }),
    );
    if (group.some((object) => object.kind === 'CustomResourceDefinition')) catalog = await KindsCatalog.read(client);
  }
}
