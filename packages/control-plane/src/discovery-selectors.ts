import type { MeshConfig } from '@meltemi/api';
import { matchLabelSelector } from '@meltemi/kube';

/** Whether the mesh takes in what a namespace with these labels holds: any selector may match; without selectors all is. */
export function isDiscovered(
  { discoverySelectors }: Pick<MeshConfig, 'discoverySelectors'>,
  labels: Readonly<Record<string, string>>,
): boolean {
  if (discoverySelectors.length === 0) return true;
  return discoverySelectors.some(({ matchLabels = {}, matchExpressions = [] }) => {
    const requirements = matchExpressions.map(({ key, operator = '', values = [] }) => ({
      key,
      operator,
      values,
    }));
    return matchLabelSelector({ matchLabels, matchExpressions: requirements }, labels);
  });
}
