import { all, type Condition, equal, NAMESPACE, not, value } from '../template/node.ts';
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

/** What else the account that other control planes use may see. */
export const READER_VALUES: ValuesTable = {
  'reader.secrets': {
    type: 'boolean',
    default: false,
    doc: "Let the reader's account see the Secrets of all namespaces.",
  },
  'reader.configuration': {
    type: 'boolean',
    default: false,
    doc: "Let the reader's account see the mesh's configuration of all namespaces.",
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
