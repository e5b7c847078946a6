/** A URL query from the parameters that are set, with its question mark; empty when none is. */
export function selectQuery(parameters: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '') query.append(name, String(value));
  }
  return query.size === 0 ? '' : `?${query.toString()}`;
}
