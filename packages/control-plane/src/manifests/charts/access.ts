import { KINDS } from '@meltemi/api';
import {
  NAMESPACE_LEASE,
  READER_SERVICE_ACCOUNT,
  REMOTE_DISCOVERY_SLICE,
  REMOTE_WEBHOOK_LEASE,
  REVOCATION_MAP,
  ROOT_CERTIFICATE_MAP,
} from '../manifest-object.ts';
import {
  type Expression,
  given,
  include,
  NAMESPACE,
  type Node,
  type NodeMap,
  text,
  value,
  when,
} from '../template/node.ts';
import { clusterName, clusterScoped, NAME, namespaced } from './revision-names.ts';

const READ = ['get', 'list', 'watch'];

/** What discovery reads in every cluster. */
const DISCOVERY_RULES: readonly Node[] = [
  { apiGroups: [''], resources: ['services', 'pods', 'nodes', 'namespaces'], verbs: READ },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ },
];

/** Who workloads are is asked of the API server of their own cluster. */
const TOKEN_REVIEW_RULE: Node = {
  apiGroups: ['authentication.k8s.io'],
  resources: ['tokenreviews'],
  verbs: ['create'],
};

/**
 * Root certificates and revocation lists go to every namespace. Creation cannot be limited to a name; lists and watches are, by the
 * field selector `metadata.name`.
 */
const TRUST_RULES: readonly Node[] = [
  { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
  {
    apiGroups: [''],
    resources: ['configmaps'],
    resourceNames: [ROOT_CERTIFICATE_MAP, REVOCATION_MAP],
    verbs: ['list', 'watch', 'patch'],
  },
];

function webhookRules(resource: string, names: readonly (string | Expression)[]): readonly Node[] {
  const apiGroups = ['admissionregistration.k8s.io'];
  return [
    { apiGroups, resources: [resource], verbs: ['list', 'watch'] },
    { apiGroups, resources: [resource], resourceNames: names, verbs: ['patch'] },
  ];
}

const CONFIGURATION_RULES: readonly Node[] = [...new Set(KINDS.map(({ group }) => group))].map((group) => ({
  apiGroups: [group],
  resources: KINDS.filter((definition) => definition.group === group).map(({ plural }) => plural),
  verbs: READ,
}));

/** Whether proxies have an object is written into its status. */
const STATUS_RULES: readonly Node[] = [...new Set(KINDS.map(({ group }) => group))].map((group) => ({
  apiGroups: [group],
  resources: KINDS.filter((definition) => definition.group === group).map(({ plural }) => `${plural}/status`),
  verbs: ['patch'],
}));

interface Grant {
  readonly name: Expression | string;
  readonly account: Expression | string;
  readonly rules: readonly Node[];
  readonly kind: 'ClusterRole' | 'Role';
}

function grant({ name, account, rules, kind }: Grant): readonly NodeMap[] {
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  const metadata = kind === 'ClusterRole' ? clusterScoped(name) : namespaced(name);
  return [
    { apiVersion, kind, metadata, rules },
    {
      apiVersion,
      kind: `${kind}Binding`,
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace: NAMESPACE }],
    },
  ];
}

/** The default validator belongs to whichever revision it names. */
export const DEFAULT_VALIDATOR = 'istiod-default-validator';

/** The control plane's account and what it may do in its own cluster. */
export function controlPlaneAccessNodes(options: { readonly annotations?: string }): readonly NodeMap[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: namespaced(NAME, options.annotations === undefined ? {} : { annotations: given(options.annotations) }),
    },
    ...grant({
      kind: 'ClusterRole',
      name: clusterName('istiod-clusterrole'),
      account: NAME,
      rules: [
        ...DISCOVERY_RULES,
        ...CONFIGURATION_RULES,
        ...STATUS_RULES,
        TOKEN_REVIEW_RULE,
        ...TRUST_RULES,
        ...webhookRules('mutatingwebhookconfigurations', [include('injectorName')]),
        ...webhookRules('validatingwebhookconfigurations', [clusterName('istio-validator'), DEFAULT_VALIDATOR]),
        // Configuration that is not taken is told beside it.
        { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
      ],
    }),
    ...grant({
      kind: 'Role',
      name: NAME,
      account: NAME,
      rules: [
        // Remote clusters' credentials; the self-signed root, which is kept in a Secret.
        { apiGroups: [''], resources: ['secrets'], verbs: [...READ, 'create'] },
        { apiGroups: [''], resources: ['secrets'], resourceNames: ['istio-ca-secret'], verbs: ['update'] },
        // MeshConfig and the injector's settings; replicas' reports to the one that writes statuses.
        { apiGroups: [''], resources: ['configmaps'], verbs: [...READ, 'create', 'patch', 'delete'] },
        // The self-test of the validating webhook, as a dry run only.
        { apiGroups: ['networking.istio.io'], resources: ['virtualservices'], verbs: ['create'] },
        // Which replica does what one does for all.
        { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
      ],
    }),
  ];
}

/** What the control plane of another cluster may do here, with the token of the reader's account. */
export function readerAccessNodes(): readonly Node[] {
  const grants = [
    ...grant({
      kind: 'ClusterRole',
      name: clusterName('istio-reader-clusterrole'),
      account: READER_SERVICE_ACCOUNT,
      rules: [
        ...DISCOVERY_RULES,
        TOKEN_REVIEW_RULE,
        ...TRUST_RULES,
        ...webhookRules('mutatingwebhookconfigurations', [include('injectorName')]),
        when(value('reader.secrets'), { apiGroups: [''], resources: ['secrets'], verbs: READ }),
        ...CONFIGURATION_RULES.map((rule) => when(value('reader.configuration'), rule)),
      ],
    }),
    ...grant({
      kind: 'Role',
      name: text('istio-reader', include('suffix')),
      account: READER_SERVICE_ACCOUNT,
      rules: [
        // The control plane writes its own address behind the Service `istiod`.
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['create'] },
        {
          apiGroups: ['discovery.k8s.io'],
          resources: ['endpointslices'],
          resourceNames: [text(REMOTE_DISCOVERY_SLICE, include('suffix'))],
          verbs: ['patch'],
        },
        // Which of several control planes acts here; names of what is created cannot be limited.
        { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
        {
          apiGroups: ['coordination.k8s.io'],
          resources: ['leases'],
          resourceNames: [NAMESPACE_LEASE, text(REMOTE_WEBHOOK_LEASE, include('suffix'))],
          verbs: ['get', 'update'],
        },
      ],
    }),
  ];
  return grants.map((node) => when(value('global.enableReaderRBAC'), node));
}
