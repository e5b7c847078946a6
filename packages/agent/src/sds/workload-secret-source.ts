import type { WorkloadIdentity } from '../identity/workload-identity.ts';
import type { RevocationFile } from './revocation-file.ts';
import type { SecretSource } from './sds-server.ts';
import { createSecretResources, type SecretResource } from './secret-resources.ts';

/** What {@link createWorkloadSecretSource} works with, besides the identity. */
export interface WorkloadSecretOptions {
  readonly revocations?: Pick<RevocationFile, 'current' | 'onChange'>;
  readonly nowMs: () => number;
}

/** Turns a workload's identity and the revocation lists into what the SDS server serves, anew with each change of either. */
export function createWorkloadSecretSource(
  identity: WorkloadIdentity,
  { revocations, nowMs }: WorkloadSecretOptions,
): SecretSource {
  const toResources = createSecretResources(nowMs);
  const listeners = new Set<() => void>();
  let resources: readonly SecretResource[] = [];
  const take = (): void => {
    const secret = identity.current();
    if (secret === undefined) return;
    resources = toResources(secret, revocations?.current());
    for (const listener of listeners) listener();
  };
  take();
  identity.onChange(take);
  revocations?.onChange(take);
  return {
    current: () => resources,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
