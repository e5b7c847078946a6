import { apiVersionOf } from './resources.ts';
import type { KubeObject, OwnerReference, ResourceRef } from './types.ts';

/** The reference that makes `owner` the one controller of an object. */
export function controllerReference<Kind extends KubeObject>(ref: ResourceRef<Kind>, owner: Kind): OwnerReference {
  if (owner.metadata.uid === undefined) throw new Error(`BUG: ${ref.kind} ${owner.metadata.name} has no uid yet`);
  return {
    apiVersion: apiVersionOf(ref),
    kind: ref.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** The owner that controls an object, if any. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

/** Whether `owner` controls the object; uids decide, so an earlier owner of the same name does not count. */
export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  return owner.metadata.uid !== undefined && controllerOf(object)?.uid === owner.metadata.uid;
}
