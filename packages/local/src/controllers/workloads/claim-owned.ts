import {
  controllerOf,
  controllerReference,
  isConflict,
  isControlledBy,
  isNotFound,
  type KubeClient,
  type KubeObject,
  type LabelSelector,
  matchLabelSelector,
  type ResourceRef,
} from '@meltemi/kube';

/** An owner, and what it may own. */
export interface ClaimOptions<Owner extends KubeObject, Owned extends KubeObject> {
  readonly client: Pick<KubeClient, 'list' | 'patch'>;
  readonly ownerRef: ResourceRef<Owner>;
  readonly owner: Owner;
  readonly ownedRef: ResourceRef<Owned>;
  readonly selector: LabelSelector;
}

/**
 * Reads the objects that an owner controls, from the server and not from a copy that may lag behind: two looks at a
 * late copy would create a pod twice.
 *
 * Orphans that the selector matches are adopted; controlled objects that it no longer matches are let go.
 */
export async function claimOwned<Owner extends KubeObject, Owned extends KubeObject>(
  options: ClaimOptions<Owner, Owned>,
): Promise<readonly Owned[]> {
  const { client, owner, ownerRef, ownedRef, selector } = options;
  const { items } = await client.list(ownedRef, { namespace: owner.metadata.namespace });
  const mayAdopt = owner.metadata.deletionTimestamp === undefined;
  const claimed: Owned[] = [];
  for (const item of items) {
    const isMatch = matchLabelSelector(selector, item.metadata.labels);
    const others = (item.metadata.ownerReferences ?? []).filter(({ uid }) => uid !== owner.metadata.uid);
    if (isControlledBy(item, owner)) {
      if (isMatch) claimed.push(item);
      else await setOwners(options, item, others);
    } else if (
      isMatch &&
      mayAdopt &&
      controllerOf(item) === undefined &&
      item.metadata.deletionTimestamp === undefined
    ) {
      const adopted = await setOwners(options, item, [...others, controllerReference(ownerRef, owner)]);
      if (adopted !== undefined) claimed.push(adopted);
    }
  }
  return claimed;
}

async function setOwners<Owner extends KubeObject, Owned extends KubeObject>(
  { client, ownedRef }: ClaimOptions<Owner, Owned>,
  { metadata }: Owned,
  ownerReferences: readonly object[],
): Promise<Owned | undefined> {
  const body = { metadata: { uid: metadata.uid, resourceVersion: metadata.resourceVersion, ownerReferences } };
  try {
    return await client.patch(ownedRef, metadata, { type: 'merge', body });
  } catch (error) {
    // It changed or went away meanwhile; that change brings us here again.
    if (isConflict(error) || isNotFound(error)) return undefined;
    throw error;
  }
}
