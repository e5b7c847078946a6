import {
  analyseVirtualService,
  type DestinationRule,
  type DestinationRuleSpec,
  type Finding,
  type KubernetesObject,
  type VirtualService,
} from '@meltemi/api';
import type { ConfigResource } from '@meltemi/model';
import { toKubernetesObject } from './config-resource.ts';

/** Kinds that others refer to: when one of these changes, references may resolve. */
export const REFERENCED_KINDS: ReadonlySet<string> = new Set(['DestinationRule']);

/**
 * What a valid object refers to and is not there: subsets that no DestinationRule defines. To act upon it would fail
 * every request, though a moment later the missing part may arrive.
 *
 * @param destinationRules Those in force.
 */
export function findUnresolvedReferences(
  object: KubernetesObject,
  destinationRules: readonly ConfigResource[],
  domainSuffix?: string,
): readonly Finding[] {
  if (object.kind !== 'VirtualService') return [];
  const rules = destinationRules.map(
    (rule): DestinationRule =>
      // The store holds validated specs only.
      toKubernetesObject(rule as ConfigResource<DestinationRuleSpec>, 'DestinationRule'),
  );
  // The caller has validated the object as the kind that it says it is.
  return analyseVirtualService(object as VirtualService, {
    virtualServices: [],
    destinationRules: rules,
    ...(domainSuffix === undefined ? {} : { domainSuffix }),
  });
}
