/** Marks a warning about a field that is accepted and validated but has no effect yet, for people and for tools. */
export const UNIMPLEMENTED_MARK = 'MELTEMI-UNIMPLEMENTED';

/**
 * Names the fields of an object that are set but have no effect yet: paths below `spec`, in MeshConfig from its root.
 * Whoever acts upon configuration knows; here it is only told.
 */
export type FindUnimplemented = (kind: string, spec: unknown) => readonly string[];

/** The warnings about such fields. */
export function warnOfUnimplemented(
  kind: string,
  spec: unknown,
  find: FindUnimplemented | undefined,
): readonly string[] {
  return (find?.(kind, spec) ?? []).map(
    (path) => `${UNIMPLEMENTED_MARK} ${kind}.${path}: accepted, but has no effect yet`,
  );
}
