import { type KubeObject, type ResourceRef, resourceRef } from '@meltemi/kube';

const RBAC = { group: 'rbac.authorization.k8s.io', version: 'v1', namespaced: false } as const;

/** Where ClusterRoles are served. */
export const CLUSTER_ROLES: ResourceRef<KubeObject> = resourceRef({
  ...RBAC,
  plural: 'clusterroles',
  kind: 'ClusterRole',
});
/** Where ClusterRoleBindings are served. */
export const CLUSTER_ROLE_BINDINGS: ResourceRef<KubeObject> = resourceRef({
  ...RBAC,
  plural: 'clusterrolebindings',
  kind: 'ClusterRoleBinding',
});
