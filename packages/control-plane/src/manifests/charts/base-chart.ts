import { crds } from '@meltemi/api';
import { READER_SERVICE_ACCOUNT } from '../manifest-object.ts';
import type { Chart } from '../template/chart.ts';
import { include, NAMESPACE, type NodeMap, text, value, when } from '../template/node.ts';
import { DEFAULT_VALIDATOR } from './access.ts';
import {
  ISTIO_NAMESPACE_VALUE,
  NAMESPACE_REFUSAL,
  REVISION_PATTERN,
  VALIDATION_ADDRESS_VALUES,
} from './chart-values.ts';
import { OBJECTS_OF_ALL, validationAddress, validationConfiguration } from './webhooks.ts';

/** Definitions outlive the chart: with them would go everybody's configuration. */
function keptDefinition(definition: NodeMap): NodeMap {
  const metadata = definition['metadata'] as NodeMap;
  return { ...definition, metadata: { ...metadata, annotations: { 'helm.sh/resource-policy': 'keep' } } };
}

/** What a cluster needs once, whatever revisions run in it. */
export const BASE_CHART: Chart = {
  name: 'base',
  description: "What a cluster needs once for Meltemi: kinds, the reader's account, the validating webhook",
  values: {
    defaultRevision: {
      type: 'string',
      default: 'default',
      pattern: REVISION_PATTERN,
      doc: 'The revision that validates configuration which names none; empty: nobody does.',
    },
    'global.istioNamespace': ISTIO_NAMESPACE_VALUE,
    'base.enableCRDTemplates': {
      type: 'boolean',
      default: true,
      doc: 'Install the kinds (CustomResourceDefinitions); false where something else looks after them. They stay when the chart is removed.',
    },
    ...VALIDATION_ADDRESS_VALUES,
  },
  helpers: {
    service: {
      doc: 'Service of the revision that validates',
      text: [
        'istiod',
        {
          $: 'choose',
          if: { $: 'not', of: { $: 'equal', left: value('defaultRevision'), right: 'default' } },
          yes: ['-', value('defaultRevision')],
        },
      ],
    },
  },
  files: [
    {
      name: 'kinds',
      // The definitions of `api` are complete objects; only their index signature is missing.
      objects: crds().map((definition) =>
        when(value('base.enableCRDTemplates'), keptDefinition(definition as unknown as NodeMap)),
      ),
    },
    {
      name: 'reader-account',
      objects: [
        {
          apiVersion: 'v1',
          kind: 'ServiceAccount',
          metadata: { name: READER_SERVICE_ACCOUNT, namespace: NAMESPACE, labels: { app: 'istio-reader' } },
        },
      ],
    },
    {
      name: 'default-validator',
      objects: [
        when(
          value('defaultRevision'),
          validationConfiguration({
            name: text(DEFAULT_VALIDATOR),
            labels: { app: 'istiod', istio: 'istiod', 'istio.io/rev': value('defaultRevision') },
            clientConfig: validationAddress(include('service')),
            objects: OBJECTS_OF_ALL,
          }),
        ),
      ],
    },
  ],
  refusals: [NAMESPACE_REFUSAL],
  warnings: [],
  notes: `Meltemi's kinds are installed. Next, the control plane:

  helm install istiod charts/control-plane --namespace {{ .Release.Namespace }} --wait`,
};
