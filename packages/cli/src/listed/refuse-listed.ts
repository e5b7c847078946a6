import { realpathSync } from 'node:fs';
import type { ResourceRef } from '@meltemi/kube';
import type { Session } from '../session.ts';
import { displayPath } from './listed-files.ts';
import { type ListedObject, listedKey, listedName, readListedRecord } from './listed-record.ts';

function isSameFile(left: string, right: string): boolean {
  try {
    return realpathSync(left) === realpathSync(right);
  } catch {
    return false;
  }
}

/**
 * Finds out whether objects of a session's cluster belong to files that its environment keeps in force.
 *
 * @returns For an object: why it cannot be written, or `undefined`. From `file`, an object's own file, it can be: the
 *   running environment has applied that file already, or is about to.
 */
export function createListedGuard(
  session: Session,
): (ref: ResourceRef, namespace: string | undefined, name: string, file?: string) => string | undefined {
  const record = session.environmentDirectory === undefined ? [] : readListedRecord(session.environmentDirectory);
  const owned = new Map<string, ListedObject>();
  for (const listed of record)
    if (listed.cluster === session.cluster.name)
      owned.set(listedKey(listed.ref, listed.namespace, listed.name), listed);
  return (ref, namespace, name, file) => {
    const listed = owned.get(listedKey(ref, namespace, name));
    if (listed === undefined || (file !== undefined && isSameFile(file, listed.file))) return undefined;
    return `${listedName(listed)} belongs to ${displayPath(listed.file)}:${listed.line}, which mesh.yaml lists for ${listed.cluster}: change that file, and "meltemi up" applies it`;
  };
}
