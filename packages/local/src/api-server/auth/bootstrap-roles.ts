import type { JsonObject } from '../objects/json-value.ts';

interface BootstrapRole {
  readonly name: string;
  readonly rules: readonly JsonObject[];
  /** Who has it from the start. */
  readonly subjects?: readonly JsonObject[];
}

const rule = (apiGroups: string, resources: string, verbs: string): JsonObject => ({
  apiGroups: apiGroups.split(' ').map((group) => (group === 'core' ? '' : group)),
  resources: resources.split(' '),
  verbs: verbs.split(' '),
});
const urls = (paths: string): JsonObject => ({ nonResourceURLs: paths.split(' '), verbs: ['get'] });
const group = (name: string): JsonObject => ({ kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name });
const user = (name: string): JsonObject => ({ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name });

const READ = 'get list watch';
const WRITE = 'create update patch delete deletecollection';
const WORKLOADS = 'apps batch autoscaling policy networking.k8s.io discovery.k8s.io';
const NAMESPACED_CORE =
  'configmaps endpoints events persistentvolumeclaims pods pods/log pods/status replicationcontrollers serviceaccounts services services/status';

/** Roles that are there from the start, as in Kubernetes, cut down to what this environment's parts call. */
const ROLES: readonly BootstrapRole[] = [
  {
    name: 'cluster-admin',
    rules: [rule('*', '*', '*'), { nonResourceURLs: ['*'], verbs: ['*'] }],
    subjects: [group('system:masters')],
  },
  {
    name: 'system:discovery',
    rules: [urls('/api /api/* /apis /apis/* /healthz /livez /readyz /openapi /openapi/* /version /version/')],
    subjects: [group('system:authenticated')],
  },
  {
    name: 'system:public-info-viewer',
    rules: [urls('/healthz /livez /readyz /version /version/')],
    subjects: [group('system:authenticated'), group('system:unauthenticated')],
  },
  {
    name: 'system:service-account-issuer-discovery',
    rules: [
      urls('/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/'),
    ],
    subjects: [group('system:serviceaccounts')],
  },
  {
    name: 'system:basic-user',
    rules: [
      rule('authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews', 'create'),
      rule('authentication.k8s.io', 'selfsubjectreviews', 'create'),
    ],
    subjects: [group('system:authenticated')],
  },
  {
    name: 'system:auth-delegator',
    rules: [
      rule('authentication.k8s.io', 'tokenreviews', 'create'),
      rule('authorization.k8s.io', 'subjectaccessreviews', 'create'),
    ],
  },
  { name: 'view', rules: [rule('core', `${NAMESPACED_CORE} namespaces`, READ), rule(WORKLOADS, '*', READ)] },
  {
    name: 'edit',
    rules: [
      rule('core', `${NAMESPACED_CORE} secrets pods/exec serviceaccounts/token`, `${READ} ${WRITE}`),
      rule('core', 'namespaces', READ),
      rule(WORKLOADS, '*', `${READ} ${WRITE}`),
    ],
  },
  {
    name: 'admin',
    rules: [
      rule('core', `${NAMESPACED_CORE} secrets pods/exec serviceaccounts/token`, `${READ} ${WRITE}`),
      rule('core', 'namespaces', READ),
      rule(`${WORKLOADS} rbac.authorization.k8s.io`, '*', `${READ} ${WRITE}`),
    ],
  },
  {
    name: 'system:node',
    rules: [
      rule('core', 'nodes nodes/status pods pods/status events', `${READ} create update patch delete`),
      rule('core', 'configmaps secrets services endpoints namespaces serviceaccounts', READ),
      rule('core', 'serviceaccounts/token', 'create'),
      rule('coordination.k8s.io', 'leases', 'get create update patch'),
      rule('authentication.k8s.io', 'tokenreviews', 'create'),
      rule('authorization.k8s.io', 'subjectaccessreviews', 'create'),
    ],
    subjects: [group('system:nodes')],
  },
  {
    // Garbage collection and the deletion of namespaces concern every kind, those of CustomResourceDefinitions included.
    name: 'system:kube-controller-manager',
    rules: [rule('*', '*', `${READ} ${WRITE}`), urls('/api /api/* /apis /apis/*')],
    subjects: [user('system:kube-controller-manager')],
  },
];

/** The roles and bindings that a new cluster starts with, as `[plural, object]`. */
export function bootstrapRoles(): readonly (readonly [string, JsonObject])[] {
  const labels = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  return ROLES.flatMap(({ name, rules, subjects }) => [
    ['clusterroles', { apiVersion, kind: 'ClusterRole', metadata: { name, labels }, rules }] as const,
    ...(subjects === undefined
      ? []
      : [
          [
            'clusterrolebindings',
            {
              apiVersion,
              kind: 'ClusterRoleBinding',
              metadata: { name, labels },
              subjects,
              roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
            },
          ] as const,
        ]),
  ]);
}
