/** Selects objects by their labels; all parts must hold. */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly LabelRequirement[];
}

/** One requirement of a selector; `operator` is `In`, `NotIn`, `Exists` or `DoesNotExist`. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

function matchRequirement(requirement: LabelRequirement, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[requirement.key];
  switch (requirement.operator) {
    case 'In':
      return value !== undefined && (requirement.values?.includes(value) ?? false);
    case 'NotIn':
      return value === undefined || !(requirement.values?.includes(value) ?? false);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      return false;
  }
}

/**
 * Whether labels satisfy a selector.
 *
 * An empty selector matches everything. An unknown operator matches nothing: selecting too little is safer than too much.
 */
export function matchLabelSelector(
  selector: LabelSelector,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  const given = labels ?? {};
  return (
    Object.entries(selector.matchLabels ?? {}).every(([key, value]) => given[key] === value) &&
    (selector.matchExpressions ?? []).every((requirement) => matchRequirement(requirement, given))
  );
}
