/** Who may see something. */
export type Visibility =
  | { readonly scope: 'public' }
  | { readonly scope: 'none' }
  | { readonly scope: 'namespaces'; readonly namespaces: ReadonlySet<string> };

const PUBLIC: Visibility = { scope: 'public' };
const NONE: Visibility = { scope: 'none' };

/**
 * Reads an `exportTo` list: `*` everybody (the rest is ignored), else `~` nobody, else the listed namespaces.
 *
 * @param exportTo What the object says; empty means `defaults`.
 * @param ownNamespace The namespace that `.` stands for.
 * @param defaults The mesh's default for this kind. Default `["*"]`.
 */
export function resolveVisibility(
  exportTo: readonly string[] | undefined,
  ownNamespace: string,
  defaults: readonly string[] = ['*'],
): Visibility {
  const values = exportTo === undefined || exportTo.length === 0 ? defaults : exportTo;
  if (values.includes('*')) return PUBLIC;
  if (values.includes('~')) return NONE;
  const namespaces = values.map((value) => (value === '.' ? ownNamespace : value));
  return { scope: 'namespaces', namespaces: new Set(namespaces) };
}

/** Whether a proxy of `namespace` may see an object. */
export function isVisibleTo(visibility: Visibility, namespace: string): boolean {
  if (visibility.scope === 'namespaces') return visibility.namespaces.has(namespace);
  return visibility.scope === 'public';
}

/** Whether it is exported beyond its own namespace at all. */
export function isPrivateTo(visibility: Visibility, namespace: string): boolean {
  return visibility.scope === 'namespaces' && visibility.namespaces.size === 1 && visibility.namespaces.has(namespace);
}
