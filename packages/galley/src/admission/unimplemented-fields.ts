/**
 * Fields that are accepted and validated but have no effect yet: `<Kind>.<path>`, the path below `spec` with neither
 * list indexes nor map keys, as in `VirtualService.http.corsPolicy`.
 */
export type UnimplementedFields = ReadonlySet<string>;

/** Marks a warning about such a field, for people and for tools. */
export const UNIMPLEMENTED_MARK = 'MELTEMI-UNIMPLEMENTED';

/** The fields of a spec that have no effect, in the order of the object, each once. */
export function findUnimplementedFields(kind: string, spec: unknown, fields: UnimplementedFields): readonly string[] {
  const found = new Set<string>();
  const visit = (value: unknown, path: string): void => {
    if (Array.isArray(value)) {
      for (const item of value) visit(item, path);
      return;
    }
    if (typeof value !== 'object' || value === null) return;
    for (const [name, member] of Object.entries(value)) {
      const memberPath = `${path}.${name}`;
      if (fields.has(memberPath)) found.add(memberPath);
      // A map's keys are no fields: its members are looked at under the map's own path as well.
      visit(member, memberPath);
      if (typeof member === 'object') visit(member, path);
    }
  };
  if (fields.size > 0) visit(spec, kind);
  return [...found];
}
