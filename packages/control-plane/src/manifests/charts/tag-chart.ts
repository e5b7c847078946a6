import type { Chart } from '../template/chart.ts';
import { type Condition, type Expression, equal, NAMESPACE, type Node, text, value, when } from '../template/node.ts';
import { DEFAULT_VALIDATOR } from './access.ts';
import { OBJECTS_OF_ALL, tagWebhooks, validationConfiguration } from './webhooks.ts';

const IS_DEFAULT: Condition = equal(value('tag'), 'default');
const NAME: Expression = value('name');
const LABELS: Node = { app: 'sidecar-injector', 'istio.io/rev': value('revision'), 'istio.io/tag': value('tag') };

/** What lets the control plane of the tag's revision keep the certificate of the tag's webhook current, and no other. */
const ACCESS: readonly Node[] = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: NAME, labels: LABELS },
    rules: [
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['mutatingwebhookconfigurations'],
        resourceNames: [NAME],
        verbs: ['patch'],
      },
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: NAME, labels: LABELS },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: NAME },
    subjects: [{ kind: 'ServiceAccount', name: value('account'), namespace: NAMESPACE }],
  },
];

const WEBHOOK: Node = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'MutatingWebhookConfiguration',
  metadata: { name: NAME, labels: LABELS },
  webhooks: tagWebhooks({
    tag: value('tag'),
    isDefault: IS_DEFAULT,
    isAuto: value('autoInjectNamespaces'),
    clientConfig: value('clientConfig'),
    reinvocationPolicy: value('reinvocationPolicy'),
  }),
};

/** Who validates configuration that names no revision goes with who injects pods that name none. */
const VALIDATOR: Node = when(
  IS_DEFAULT,
  validationConfiguration({
    name: text(DEFAULT_VALIDATOR),
    labels: { app: 'istiod', istio: 'istiod', 'istio.io/rev': value('revision') },
    clientConfig: value('validationClientConfig'),
    objects: OBJECTS_OF_ALL,
  }),
);

/** A name that leads to a revision. It is no Helm chart: what it is made of is read from the revision's webhook. */
export const TAG_CHART: Chart = {
  name: 'tag',
  description: 'A name that leads to a revision',
  values: {
    tag: { type: 'string', default: '', doc: 'The name.' },
    revision: { type: 'string', default: '', doc: 'Where it leads.' },
    name: { type: 'string', default: '', doc: 'Name of the objects.' },
    account: { type: 'string', default: '', doc: 'Who writes the certificate.' },
    clientConfig: { type: 'map', default: {}, doc: "How the revision's injector is asked." },
    validationClientConfig: { type: 'map', default: {}, doc: "How the revision's validation is asked." },
    reinvocationPolicy: { type: 'string', default: 'Never', doc: "As the revision's." },
    autoInjectNamespaces: { type: 'boolean', default: false, doc: 'Inject namespaces without labels too.' },
  },
  helpers: {},
  files: [{ name: 'tag', objects: [WEBHOOK, ...ACCESS, VALIDATOR] }],
  refusals: [],
  warnings: [],
  notes: '',
};
