import type { KubeObject } from '../types.ts';

/** Who leads, and until when unless renewed. */
export interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string | null;
    readonly leaseDurationSeconds?: number | null;
    /** RFC 3339 with microseconds. */
    readonly acquireTime?: string | null;
    /** RFC 3339 with microseconds. */
    readonly renewTime?: string | null;
    readonly leaseTransitions?: number | null;
  };
}
