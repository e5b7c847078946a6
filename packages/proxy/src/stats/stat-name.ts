/** A part of a dotted stat name, in which `:` cannot stand. */
export function statNamePart(text: string): string {
  return text.replaceAll(':', '_');
}

/**
 * A stat's whole name, which matchers of the bootstrap look at; labels become parts, as Envoy writes stats that carry tags of
 * their own.
 */
export function flatStatName(name: string, labels: Readonly<Record<string, string>> | undefined): string {
  if (labels === undefined) return name;
  const parts = Object.entries(labels).map(([key, value]) => `${key}.${value}`);
  return ['istiocustom', name, ...parts].join('.');
}
