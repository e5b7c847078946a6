/**
 * Fields that are accepted and validated, but that no proxy acts upon yet; the validating webhook warns of each.
 * `<Kind>.<path below spec>`, without list indexes and map keys.
 */
export const UNIMPLEMENTED_FIELDS: ReadonlySet<string> = new Set<string>();
