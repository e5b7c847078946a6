import { stableJson } from '@meltemi/base';
import type { Pod } from '@meltemi/kube';

/** One operation of RFC 6902. */
export interface JsonPatchOperation {
  readonly op: 'add' | 'replace' | 'remove';
  readonly path: string;
  /** Absent with `remove`. */
  readonly value?: unknown;
}

/** The operations that turn a pod into its injected form: at most one for each member of `metadata` and `spec`. */
export function buildPodPatch(before: Pod, after: Pod): readonly JsonPatchOperation[] {
  return [...diff('/metadata', before.metadata, after.metadata), ...diff('/spec', before.spec, after.spec)];
}

function diff(path: string, before: object, after: object): readonly JsonPatchOperation[] {
  const old: Readonly<Record<string, unknown>> = { ...before };
  const changed: Readonly<Record<string, unknown>> = { ...after };
  return [...new Set([...Object.keys(old), ...Object.keys(changed)])].flatMap((name): JsonPatchOperation[] => {
    const value = changed[name];
    if (stableJson(old[name] ?? null) === stableJson(value ?? null)) return [];
    const target = `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (value === undefined) return [{ op: 'remove', path: target }];
    return [{ op: old[name] === undefined ? 'add' : 'replace', path: target, value }];
  });
}
