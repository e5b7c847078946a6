import { stableJson } from '@meltemi/base';
import type { Pod } from '@meltemi/kube';

/** One operation of RFC 6902. */
export interface JsonPatchOperation {
  readonly op: 'add' | 'replace';
  readonly path: string;
  readonly value: unknown;
}

/** The members that injection changes, each with how to read it. */
const MEMBERS: Readonly<Record<string, (pod: Pod) => unknown>> = {
  '/metadata/labels': ({ metadata }) => metadata.labels,
  '/metadata/annotations': ({ metadata }) => metadata.annotations,
  '/spec/initContainers': ({ spec }) => spec.initContainers,
  '/spec/containers': ({ spec }) => spec.containers,
  '/spec/volumes': ({ spec }) => spec.volumes,
};

/** The operations that turn a pod into its injected form: at most one for each member that injection changes. */
export function buildPodPatch(before: Pod, after: Pod): readonly JsonPatchOperation[] {
  return Object.entries(MEMBERS).flatMap(([path, read]) => {
    const old = read(before);
    const value = read(after);
    if (stableJson(old ?? null) === stableJson(value ?? null)) return [];
    return [{ op: old === undefined ? 'add' : 'replace', path, value }];
  });
}
