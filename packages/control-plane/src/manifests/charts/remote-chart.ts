import { REMOTE_DISCOVERY_SLICE, SERVICE_PORTS } from '../manifest-object.ts';
import type { Chart } from '../template/chart.ts';
import {
  all,
  type Condition,
  equal,
  include,
  NAMESPACE,
  type Node,
  not,
  type TextPart,
  text,
  value,
  when,
} from '../template/node.ts';
import type { ValuesTable } from '../template/values-table.ts';
import { controlPlaneAccessNodes, readerAccessNodes } from './access.ts';
import {
  INJECTION_WEBHOOK_VALUES,
  ISTIO_NAMESPACE_VALUE,
  MESH_NAME_PATTERN,
  NAMESPACE_REFUSAL,
  READER_VALUES,
  REVISION_VALUES,
  VALIDATION_ADDRESS_VALUES,
} from './chart-values.ts';
import { clusterName, LABELS, NAME, namespaced, REVISION_HELPERS } from './revision-names.ts';
import { injectionConfiguration, objectsOfRevision, validationAddress, validationConfiguration } from './webhooks.ts';

const VALUES: ValuesTable = {
  ...REVISION_VALUES,
  'global.istioNamespace': ISTIO_NAMESPACE_VALUE,
  'global.multiCluster.clusterName': {
    type: 'string',
    default: '',
    pattern: MESH_NAME_PATTERN,
    doc: 'How this cluster is known in the mesh: the key in its remote secret. Needed.',
  },
  'global.network': {
    type: 'string',
    default: '',
    pattern: MESH_NAME_PATTERN,
    doc: 'The network that this cluster is on; empty: that of all others.',
  },
  'global.remotePilotAddress': {
    type: 'string',
    default: '',
    pattern: '^[A-Za-z0-9.:-]*$',
    doc: 'Where the control plane is reached from here: an IP address or a DNS name, such as of its east-west gateway. Empty: it writes the addresses of its pods itself, which needs a network that reaches them.',
  },
  'global.configCluster': {
    type: 'boolean',
    default: false,
    doc: 'The control plane, wherever it runs, reads its configuration here: its account and roles.',
  },
  'global.enableReaderRBAC': {
    type: 'boolean',
    default: true,
    doc: "Roles for the reader's account, whose token the control plane uses.",
  },
  'istiodRemote.injectionURL': {
    type: 'string',
    default: '',
    pattern: '^(https://.+)?$',
    doc: 'Where the API server asks for sidecars, whole; empty: Service istiod.',
  },
  'istiodRemote.injectionPath': {
    type: 'string',
    default: '/inject',
    pattern: '^/inject(/[^?#]*)?$',
    doc: 'Path at Service istiod; cluster and network are added.',
  },
  'istiodRemote.injectionCABundle': {
    type: 'string',
    default: '',
    doc: 'The roots that the webhook is verified by, PEM in base64. Empty: the control plane writes them.',
  },
  ...INJECTION_WEBHOOK_VALUES,
  ...VALIDATION_ADDRESS_VALUES,
  ...READER_VALUES,
};

const ADDRESS = value('global.remotePilotAddress');
const IS_IPV6: Condition = { $: 'contains', text: ADDRESS, part: ':' };
const IS_IP: Condition = { $: 'any', of: [{ $: 'matches', text: ADDRESS, pattern: '^[0-9.]+$' }, IS_IPV6] };

/** With a DNS name the Service is an alias; else it has no selector, and the addresses come from outside. */
const DISCOVERY: readonly Node[] = [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: namespaced(NAME),
    spec: {
      '...alias': when(all(ADDRESS, not(IS_IP)), { type: 'ExternalName', externalName: ADDRESS }),
      ports: SERVICE_PORTS.map((port) => ({ ...port })),
    },
  },
  when(all(ADDRESS, IS_IP), {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    // The control plane leaves it alone when somebody else has set the address.
    metadata: {
      ...namespaced(text(REMOTE_DISCOVERY_SLICE, include('suffix'))),
      labels: { '...common': include('labels'), 'kubernetes.io/service-name': NAME },
    },
    addressType: when(IS_IPV6, 'IPv6', 'IPv4'),
    endpoints: [{ addresses: [ADDRESS], conditions: { ready: true } }],
    ports: SERVICE_PORTS.map(({ name, targetPort, protocol }) => ({ name, port: targetPort, protocol })),
  }),
];

/** As the injector reads it. */
const INJECTION_PATH: readonly TextPart[] = [
  value('istiodRemote.injectionPath'),
  '/cluster/',
  value('global.multiCluster.clusterName'),
  {
    $: 'choose',
    if: value('global.network'),
    yes: ['/net/', value('global.network')],
  },
];

const WEBHOOK_URL = value('istiodRemote.injectionURL');

/** A cluster that is served by the control plane of another. */
export const REMOTE_CHART: Chart = {
  name: 'remote',
  description:
    'A cluster without a control plane of its own: injection, and access for the control plane of another cluster',
  values: VALUES,
  helpers: {
    ...REVISION_HELPERS,
    injectionPath: {
      doc: 'Where the injector is asked, with the cluster and network that it is asked for',
      text: INJECTION_PATH,
    },
  },
  files: [
    { name: 'reader-access', objects: readerAccessNodes() },
    {
      name: 'config-cluster-access',
      objects: controlPlaneAccessNodes({}).map((object) => when(value('global.configCluster'), object)),
    },
    { name: 'discovery', objects: DISCOVERY },
    {
      name: 'webhooks',
      objects: [
        injectionConfiguration({
          url: when(WEBHOOK_URL, WEBHOOK_URL),
          service: when(not(WEBHOOK_URL), {
            namespace: NAMESPACE,
            name: NAME,
            path: include('injectionPath'),
            port: 443,
          }),
          caBundle: when(value('istiodRemote.injectionCABundle'), value('istiodRemote.injectionCABundle')),
        }),
        // Where configuration is read it is validated: the control plane's self-test asks the webhook of its revision.
        when(
          value('global.configCluster'),
          validationConfiguration({
            name: clusterName('istio-validator'),
            labels: LABELS,
            clientConfig: validationAddress(NAME),
            objects: objectsOfRevision(include('revision')),
          }),
        ),
      ],
    },
  ],
  refusals: [
    NAMESPACE_REFUSAL,
    {
      if: not(value('global.multiCluster.clusterName')),
      message: 'global.multiCluster.clusterName is needed: the name of this cluster in the mesh',
    },
  ],
  warnings: [
    {
      if: all(WEBHOOK_URL, not(equal(value('istiodRemote.injectionPath'), '/inject'))),
      message: 'istiodRemote.injectionPath does nothing beside istiodRemote.injectionURL, which is the whole address.',
    },
    {
      if: all(ADDRESS, not(IS_IP), not(WEBHOOK_URL)),
      message:
        'API servers do not follow aliases: with a DNS name as global.remotePilotAddress, set istiodRemote.injectionURL too, or no pod gets a sidecar.',
    },
    {
      if: all(value('global.configCluster'), ADDRESS, not(IS_IP), not(value('base.validationURL'))),
      message:
        'API servers do not follow aliases: with a DNS name as global.remotePilotAddress, set base.validationURL too, or configuration is not validated.',
    },
  ],
  notes: `This cluster waits for its control plane. Let it act here, and give it access:

  kubectl annotate namespace {{ .Release.Namespace }} topology.istio.io/controlPlaneClusters=CLUSTER
  meltemi create-remote-secret --name {{ .Values.global.multiCluster.clusterName }}
{{- if .Values.global.network }}

Helm does not label namespaces, and the control plane reads the network there:

  kubectl label namespace {{ .Release.Namespace }} topology.istio.io/network={{ .Values.global.network }}
{{- end }}`,
};
