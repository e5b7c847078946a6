export * from './client.ts';
export * from './cluster-access.ts';
export * from './errors.ts';
export * from './forbidden.ts';
export * from './in-cluster.ts';
export * from './informer.ts';
export * from './informer-store.ts';
export * from './kinds/admission.ts';
export * from './kinds/apps.ts';
export * from './kinds/authentication.ts';
export * from './kinds/core.ts';
export * from './kinds/discovery.ts';
export * from './kinds/label-selector-text.ts';
export * from './kinds/lease.ts';
export * from './kinds/pod.ts';
export * from './kinds/selector.ts';
export * from './kubeconfig.ts';
export * from './kubeconfig-build.ts';
export {
  type KubeconfigFinding,
  RISKY_KUBECONFIG_FIELDS,
  type RiskyKubeconfigField,
} from './kubeconfig-fields.ts';
export * from './leader-election.ts';
export * from './owner-references.ts';
export * from './resources.ts';
export * from './status-error.ts';
export * from './types.ts';
export * from './warning-event.ts';
export * from './work-queue.ts';
