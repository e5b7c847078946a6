import { KINDS } from '@meltemi/api';
import {
  CONTROL_PLANE_NAME,
  controlPlaneLabels,
  INJECTION_WEBHOOK,
  type ManifestObject,
  READER_SERVICE_ACCOUNT,
  REMOTE_DISCOVERY_SLICE,
  ROOT_CERTIFICATE_MAP,
  SYSTEM_NAMESPACE,
  VALIDATION_WEBHOOK,
} from './manifest-object.ts';

interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

const READ = ['get', 'list', 'watch'];

/** What discovery reads in every cluster. */
const DISCOVERY_RULES: readonly PolicyRule[] = [
  { apiGroups: [''], resources: ['services', 'pods', 'nodes', 'namespaces'], verbs: READ },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ },
];

/** Who workloads are is asked of the API server of their own cluster. */
const TOKEN_REVIEW_RULE: PolicyRule = {
  apiGroups: ['authentication.k8s.io'],
  resources: ['tokenreviews'],
  verbs: ['create'],
};

/**
 * The root certificates go to every namespace. Creation cannot be limited to a name; lists and watches are, by the
 * field selector `metadata.name`.
 */
const ROOT_CERTIFICATE_RULES: readonly PolicyRule[] = [
  { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
  {
    apiGroups: [''],
    resources: ['configmaps'],
    resourceNames: [ROOT_CERTIFICATE_MAP],
    verbs: ['list', 'watch', 'patch'],
  },
];

function webhookRules(resource: string, names: readonly string[]): readonly PolicyRule[] {
  const apiGroups = ['admissionregistration.k8s.io'];
  return [
    { apiGroups, resources: [resource], verbs: ['list', 'watch'] },
    { apiGroups, resources: [resource], resourceNames: names, verbs: ['patch'] },
  ];
}

function configRules(): readonly PolicyRule[] {
  const groups = [...new Set(KINDS.map((definition) => definition.group))];
  return groups.map((group) => ({
    apiGroups: [group],
    resources: KINDS.filter((definition) => definition.group === group).map((definition) => definition.plural),
    verbs: READ,
  }));
}

function serviceAccount(name: string, namespace = SYSTEM_NAMESPACE): ManifestObject {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, namespace, labels: controlPlaneLabels() },
  };
}

interface Grant {
  readonly name: string;
  readonly serviceAccount: string;
  /** Default `istio-system`. */
  readonly accountNamespace?: string;
  readonly rules: readonly PolicyRule[];
  /** Absent: everywhere in the cluster. */
  readonly namespace?: string;
}

function grant(options: Grant): readonly ManifestObject[] {
  const { name, serviceAccount: account, accountNamespace = SYSTEM_NAMESPACE, rules, namespace } = options;
  const kind = namespace === undefined ? 'ClusterRole' : 'Role';
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  const metadata = { name, ...(namespace === undefined ? {} : { namespace }), labels: controlPlaneLabels() };
  return [
    { apiVersion, kind, metadata, rules },
    {
      apiVersion,
      kind: `${kind}Binding`,
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace: accountNamespace }],
    },
  ];
}

/** The control plane's account and what it may do in its own cluster. */
export function controlPlaneAccess(): readonly ManifestObject[] {
  return [
    serviceAccount(CONTROL_PLANE_NAME),
    ...grant({
      name: `${CONTROL_PLANE_NAME}-clusterrole-${SYSTEM_NAMESPACE}`,
      serviceAccount: CONTROL_PLANE_NAME,
      rules: [
        ...DISCOVERY_RULES,
        ...configRules(),
        TOKEN_REVIEW_RULE,
        ...ROOT_CERTIFICATE_RULES,
        ...webhookRules('mutatingwebhookconfigurations', [INJECTION_WEBHOOK]),
        ...webhookRules('validatingwebhookconfigurations', [VALIDATION_WEBHOOK]),
        // Configuration that is not taken is told beside it.
        { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
      ],
    }),
    ...grant({
      name: CONTROL_PLANE_NAME,
      serviceAccount: CONTROL_PLANE_NAME,
      namespace: SYSTEM_NAMESPACE,
      rules: [
        // Remote clusters' credentials; the self-signed root, which is kept in a Secret.
        { apiGroups: [''], resources: ['secrets'], verbs: [...READ, 'create'] },
        { apiGroups: [''], resources: ['configmaps'], verbs: READ },
      ],
    }),
  ];
}

/** Which account of which namespace reads a cluster for the control plane of another. */
export interface ReaderAccessOptions {
  /** Default `istio-system`. */
  readonly namespace?: string;
  /** Default `istio-reader-service-account`. */
  readonly serviceAccount?: string;
}

/** The account whose token the control plane of another cluster uses, and what it may do here. */
export function readerAccess(options: ReaderAccessOptions = {}): readonly ManifestObject[] {
  const { namespace = SYSTEM_NAMESPACE, serviceAccount: account = READER_SERVICE_ACCOUNT } = options;
  // Bindings of two accounts must not overwrite each other.
  const suffix = account === READER_SERVICE_ACCOUNT ? '' : `-${account}`;
  return [
    serviceAccount(account, namespace),
    ...grant({
      name: `istio-reader-clusterrole-${namespace}${suffix}`,
      serviceAccount: account,
      accountNamespace: namespace,
      rules: [
        ...DISCOVERY_RULES,
        TOKEN_REVIEW_RULE,
        ...ROOT_CERTIFICATE_RULES,
        ...webhookRules('mutatingwebhookconfigurations', [INJECTION_WEBHOOK]),
      ],
    }),
    ...grant({
      name: `istio-reader${suffix}`,
      serviceAccount: account,
      accountNamespace: namespace,
      namespace,
      rules: [
        // The control plane writes its own address behind the Service `istiod`.
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['create'] },
        {
          apiGroups: ['discovery.k8s.io'],
          resources: ['endpointslices'],
          resourceNames: [REMOTE_DISCOVERY_SLICE],
          verbs: ['patch'],
        },
      ],
    }),
  ];
}
