/** Kubernetes labels. */
export type Labels = Readonly<Record<string, string>>;

/** Whether `labels` has every pair of `selector`. An empty selector matches everything. */
export function matchLabels(selector: Labels | undefined, labels: Labels): boolean {
  if (selector === undefined) return true;
  for (const key in selector) {
    if (labels[key] !== selector[key]) return false;
  }
  return true;
}
