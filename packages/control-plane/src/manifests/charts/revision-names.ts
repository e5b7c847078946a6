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
