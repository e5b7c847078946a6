import type { WorkloadIdentity } from '../identity/workload-identity.ts';
import type { SecretSource } from './sds-server.ts';
import { createSecretResources, type SecretResource } from './secret-resources.ts';

/** Turns a workload's identity into what the SDS server serves: each new secret becomes resources once. */
export function createWorkloadSecretSource(identity: WorkloadIdentity, nowMs: () => number): SecretSource {
  const toResources = createSecretResources(nowMs);
  const first = identity.current();
  let resources: readonly SecretResource[] = first === undefined ? [] : toResources(first);
  const listeners = new Set<() => void>();
  identity.onChange((secret) => {
    resources = toResources(secret);
    for (const listener of listeners) listener();
  });
  return {
    current: () => resources,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
