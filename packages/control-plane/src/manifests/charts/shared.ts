import {
  all,
  any,
  type Condition,
  type Expression,
  equal,
  type Helper,
  include,
  NAMESPACE,
  type NodeMap,
  not,
  type TextPart,
  text,
  value,
} from '../template/node.ts';
import type { ValueDefinition, ValuesTable } from '../template/values-table.ts';

/** A DNS label that names can end with, or nothing. */
export const REVISION_PATTERN = '^([a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?)?$';

/** What names of clusters and networks are made of: they are keys of Secrets, labels, and parts of paths. */
export const MESH_NAME_PATTERN = '^[A-Za-z0-9._-]*$';

/** Values that the charts with a revision share. */
export const REVISION_VALUES: ValuesTable = {
  revision: {
    type: 'string',
    default: '',
    pattern: REVISION_PATTERN,
    doc: 'Name of this revision; empty or "default" is the one that namespaces with istio-injection=enabled get. Several revisions run beside each other.',
  },
};

/** Values about the injection webhook. */
export const INJECTION_WEBHOOK_VALUES: ValuesTable = {
  'sidecarInjectorWebhook.enableNamespacesByDefault': {
    type: 'boolean',
    default: false,
    doc: 'Inject pods of namespaces without any label too; kube-system and its like stay out.',
  },
  'sidecarInjectorWebhook.reinvocationPolicy': {
    type: 'string',
    default: 'Never',
    oneOf: ['Never', 'IfNeeded'],
    doc: 'Whether the API server asks again when a later webhook has changed the pod.',
  },
};

/** Where validation is asked when no Service of this cluster leads to it; the names are Istio's. */
export const VALIDATION_ADDRESS_VALUES: ValuesTable = {
  'base.validationURL': {
    type: 'string',
    default: '',
    doc: 'Where a control plane outside of this cluster validates, such as https://istiod.example.com:15017/validate.',
  },
  'base.validationCABundle': {
    type: 'string',
    default: '',
    doc: 'The roots that validationURL is verified by, PEM in base64. Needed where the control plane cannot write it.',
  },
};

/** Where charts used to name their namespace: still accepted, where it says the same as the release. */
export const ISTIO_NAMESPACE_VALUE: ValueDefinition = {
  type: 'string',
  default: '',
  doc: "Istio's charts name the namespace here; charts go into the namespace of the release, and this may only repeat it.",
};

/** A namespace that is named twice, differently. */
export const NAMESPACE_REFUSAL: { readonly if: Condition; readonly message: string } = {
  if: all(value('global.istioNamespace'), not(equal(value('global.istioNamespace'), NAMESPACE))),
  message: 'global.istioNamespace is not the namespace of the release; install into it with --namespace',
};

/** Holds for every revision but the default one. */
export const IS_NAMED_REVISION: Condition = all(value('revision'), not(equal(value('revision'), 'default')));
/** Holds for the default revision. */
export const IS_DEFAULT_REVISION: Condition = any(not(value('revision')), equal(value('revision'), 'default'));

const SUFFIX: readonly TextPart[] = [{ $: 'choose', if: IS_NAMED_REVISION, yes: ['-', value('revision')] }];

/** Helpers about the revision. */
export const REVISION_HELPERS: Readonly<Record<string, Helper>> = {
  suffix: { doc: 'What names of a revision end with; nothing for the default one', text: SUFFIX },
  revision: {
    doc: 'Name of the revision',
    text: [{ $: 'default', first: value('revision'), second: text('default') }],
  },
  name: { doc: 'Name of Deployment, Service and account', text: ['istiod', include('suffix')] },
  labels: {
    doc: 'Labels of everything that belongs to the control plane',
    map: {
      app: 'istiod',
      istio: include('role'),
      'istio.io/rev': include('revision'),
    },
  },
  role: {
    doc: 'By this label the Service of the default revision finds its pods, and no others',
    text: [{ $: 'choose', if: IS_NAMED_REVISION, yes: ['istiod'], no: ['pilot'] }],
  },
  injectorName: {
    doc: 'Name of the webhook that injects sidecars; unique in the cluster',
    text: [
      'istio-sidecar-injector',
      include('suffix'),
      { $: 'choose', if: not(equal(NAMESPACE, 'istio-system')), yes: ['-', NAMESPACE] },
    ],
  },
};

/** The name of the revision's control plane. */
export const NAME: Expression = include('name');
/** Labels of the revision's objects. */
export const LABELS: Expression = include('labels');

/** Metadata of an object of the revision, in the namespace of the release. */
export function namespaced(name: Expression | string, more: NodeMap = {}): NodeMap {
  return { name, namespace: NAMESPACE, labels: LABELS, ...more };
}

/** Metadata of an object of the revision that is in no namespace. */
export function clusterScoped(name: Expression | string): NodeMap {
  return { name, labels: LABELS };
}

/** A name in the whole cluster, which says the revision and the namespace. */
export function clusterName(stem: string): Expression {
  return text(stem, include('suffix'), '-', NAMESPACE);
}
