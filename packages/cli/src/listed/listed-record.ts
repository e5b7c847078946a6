import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type KubeObject, type ResourceRef, resourceRef } from '@meltemi/kube';
import { writeFileAtomically } from '@meltemi/local';

/** An object that a file of `mesh.yaml` holds. */
export interface ListedObject {
  readonly cluster: string;
  readonly ref: Pick<ResourceRef, 'group' | 'version' | 'plural' | 'kind' | 'namespaced'>;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly file: string;
  /** Where the object begins, from 1. */
  readonly line: number;
}

/** What tells objects of one cluster apart: versions of a kind are the same objects. */
export function listedKey(
  ref: Pick<ResourceRef, 'group' | 'kind'>,
  namespace: string | undefined,
  name: string,
): string {
  return `${ref.group}/${ref.kind}/${namespace ?? ''}/${name}`;
}

/** How messages name an object: `Service app1/helloworld`. */
export function listedName({ ref, namespace, name }: Pick<ListedObject, 'ref' | 'namespace' | 'name'>): string {
  return `${ref.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
}

function recordPath(directory: string): string {
  return join(directory, '.meltemi/listed-objects.json');
}

/** The objects that the files of an environment hold, as the running `meltemi up` last saw them. */
export function readListedRecord(directory: string): readonly ListedObject[] {
  try {
    // Written by `writeListedRecord` below, whole or not at all.
    return JSON.parse(readFileSync(recordPath(directory), 'utf8')) as readonly ListedObject[];
  } catch {
    return [];
  }
}

/** Keeps the record: commands read it to know what is not theirs, the next start to know what to remove. */
export function writeListedRecord(directory: string, objects: readonly ListedObject[]): void {
  writeFileAtomically(recordPath(directory), `${JSON.stringify(objects, null, 2)}\n`, 0o600);
}

/** The reference of a recorded object's kind. */
export function refOf(object: ListedObject): ResourceRef<KubeObject> {
  return resourceRef(object.ref);
}
