import { KINDS } from '@meltemi/api';
import { WEBHOOK_NAME_SUFFIX } from '@meltemi/injector';
import {
  all,
  type Condition,
  type Expression,
  include,
  NAMESPACE,
  type Node,
  type NodeMap,
  not,
  value,
  when,
} from '../template/node.ts';
import { IS_DEFAULT_REVISION } from './revision-names.ts';

const INJECTION_LABEL = 'istio-injection';
const REVISION_LABEL = 'istio.io/rev';
const INJECT_LABEL = 'sidecar.istio.io/inject';
const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name';

/** Namespaces that `enableNamespacesByDefault` leaves out. */
const NEVER_BY_DEFAULT = ['kube-system', 'kube-public', 'kube-node-lease', 'local-path-storage'];

function inValues(key: string, ...values: readonly (string | Expression)[]): NodeMap {
  return { key, operator: 'In', values };
}

function notIn(key: string, ...values: readonly (string | Expression)[]): NodeMap {
  return { key, operator: 'NotIn', values };
}

function absent(key: string): NodeMap {
  return { key, operator: 'DoesNotExist' };
}

/** What the injection webhooks of a revision or tag have in common. */
interface InjectionWebhookParts {
  readonly revision: Expression;
  readonly clientConfig: Node;
  readonly reinvocationPolicy: Expression;
}

type Selectors = readonly [namespaces: readonly Node[], objects: readonly Node[]];

/** By namespace label `istio.io/rev`, and by pod label `istio.io/rev`: every revision has these. */
function revisionSelectors(revision: Expression): Readonly<Record<string, Selectors>> {
  return {
    'rev.namespace': [[inValues(REVISION_LABEL, revision), absent(INJECTION_LABEL)], [notIn(INJECT_LABEL, 'false')]],
    'rev.object': [
      [absent(REVISION_LABEL), absent(INJECTION_LABEL)],
      [notIn(INJECT_LABEL, 'false'), inValues(REVISION_LABEL, revision)],
    ],
  };
}

/** By `istio-injection=enabled`, and by pod label `sidecar.istio.io/inject`: one revision of the cluster has these. */
const DEFAULT_SELECTORS: Readonly<Record<string, Selectors>> = {
  namespace: [[inValues(INJECTION_LABEL, 'enabled')], [notIn(INJECT_LABEL, 'false')]],
  object: [
    [absent(INJECTION_LABEL), absent(REVISION_LABEL)],
    [inValues(INJECT_LABEL, 'true'), absent(REVISION_LABEL)],
  ],
};

/** Pods that say nothing, in all namespaces that say nothing; what wants a sidecar by itself is asked about by `object.`. */
const AUTO_SELECTORS: Readonly<Record<string, Selectors>> = {
  auto: [
    [absent(INJECTION_LABEL), absent(REVISION_LABEL), notIn(NAMESPACE_NAME_LABEL, ...NEVER_BY_DEFAULT)],
    [absent(INJECT_LABEL), absent(REVISION_LABEL)],
  ],
};

function build(parts: InjectionWebhookParts, selectors: Readonly<Record<string, Selectors>>): readonly NodeMap[] {
  return Object.entries(selectors).map(([prefix, [namespaces, objects]]) => ({
    name: `${prefix}.${WEBHOOK_NAME_SUFFIX}`,
    clientConfig: parts.clientConfig,
    rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
    // The control plane's own namespace is no exception, since gateways run there; its own pods refuse by their label.
    namespaceSelector: { matchExpressions: namespaces },
    objectSelector: { matchExpressions: objects },
    failurePolicy: 'Fail',
    reinvocationPolicy: parts.reinvocationPolicy,
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  }));
}

/** What the webhooks of a tag are made of. */
export interface TagWebhookParts {
  readonly tag: Expression;
  readonly isDefault: Condition;
  readonly isAuto: Condition;
  readonly clientConfig: Node;
  readonly reinvocationPolicy: Expression;
}

/** Webhooks by which a tag is addressed like a revision; the tag `default` also gets the pods that name none. */
export function tagWebhooks({ tag, isDefault, isAuto, ...rest }: TagWebhookParts): readonly Node[] {
  const parts: InjectionWebhookParts = { revision: tag, ...rest };
  return [
    ...build(parts, revisionSelectors(tag)),
    ...build(parts, DEFAULT_SELECTORS).map((webhook) => when(isDefault, webhook)),
    ...build(parts, AUTO_SELECTORS).map((webhook) => when(isAuto, webhook)),
  ];
}

/**
 * The webhook that adds sidecars to pods.
 *
 * The certificate that it is verified by is filled in by the control plane; until then pods of labelled namespaces
 * are refused rather than started without a sidecar.
 *
 * @see Istio, manifests/charts/istio-control/istio-discovery (names and selectors)
 */
export function injectionConfiguration(clientConfig: NodeMap): NodeMap {
  const parts: InjectionWebhookParts = {
    revision: include('revision'),
    clientConfig,
    reinvocationPolicy: value('sidecarInjectorWebhook.reinvocationPolicy'),
  };
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: {
      name: include('injectorName'),
      labels: { 'istio.io/rev': include('revision'), app: 'sidecar-injector' },
    },
    webhooks: [
      ...build(parts, revisionSelectors(parts.revision)),
      ...build(parts, DEFAULT_SELECTORS).map((webhook) => when(IS_DEFAULT_REVISION, webhook)),
      ...build(parts, AUTO_SELECTORS).map((webhook) =>
        when(all(IS_DEFAULT_REVISION, value('sidecarInjectorWebhook.enableNamespacesByDefault')), webhook),
      ),
    ],
  };
}

/** Where validation is asked: the URL of the values, or else a Service in the namespace of the release. */
export function validationAddress(service: Expression): NodeMap {
  const url = value('base.validationURL');
  const bundle = value('base.validationCABundle');
  return {
    url: when(url, url),
    service: when(not(url), { name: service, namespace: NAMESPACE, path: '/validate', port: 443 }),
    caBundle: when(bundle, bundle),
  };
}

/** What {@link validationConfiguration} is made of. */
export interface ValidationParts {
  readonly name: Expression;
  readonly labels: Node;
  readonly clientConfig: Node;
  /** Which objects, by the label of a revision. */
  readonly objects: NodeMap;
}

/** The webhook that validates configuration. It is passed over until the control plane has filled in its certificate. */
export function validationConfiguration({ name, labels, clientConfig, objects }: ValidationParts): NodeMap {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name, labels },
    webhooks: [
      {
        name: 'validation.istio.io',
        clientConfig,
        sideEffects: 'None',
        rules: [
          {
            operations: ['CREATE', 'UPDATE'],
            apiGroups: [...new Set(KINDS.map(({ group }) => group))],
            apiVersions: ['*'],
            resources: ['*'],
          },
        ],
        objectSelector: { matchExpressions: [objects] },
        failurePolicy: { $: 'live-policy', webhook: name },
        admissionReviewVersions: ['v1'],
      },
    ],
  };
}

/** Objects that are meant for one revision. */
export function objectsOfRevision(revision: Expression | string): NodeMap {
  return inValues(REVISION_LABEL, revision);
}

/** Objects that are meant for all revisions. */
export const OBJECTS_OF_ALL: NodeMap = absent(REVISION_LABEL);
