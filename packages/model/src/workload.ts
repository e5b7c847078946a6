import type { Labels } from './labels.ts';
import type { Locality } from './locality.ts';

/** A pod or a registered machine, whether or not a service selects it. Frozen. */
export interface Workload {
  readonly name: string;
  readonly namespace: string;
  readonly clusterId: string;
  readonly network: string;
  /** First one is primary. */
  readonly addresses: readonly string[];
  readonly labels: Labels;
  /** The account's plain name. */
  readonly serviceAccount: string;
  readonly nodeName: string;
  readonly locality: Locality;
}
