import type { Chart } from '../template/chart.ts';
import {
  all,
  ENTRY_ITEM,
  ENTRY_KEY,
  equal,
  given,
  include,
  NAMESPACE,
  type Node,
  type NodeMap,
  not,
  overlaid,
  value,
  when,
} from '../template/node.ts';
import type { ValuesTable } from '../template/values-table.ts';
import { REVISION_PATTERN } from './chart-values.ts';

const VALUES: ValuesTable = {
  name: { type: 'string', default: '', pattern: REVISION_PATTERN, doc: 'Name of the gateway; empty: of the release.' },
  revision: {
    type: 'string',
    default: '',
    pattern: REVISION_PATTERN,
    doc: 'Revision of the control plane that injects it.',
  },
  networkGateway: {
    type: 'string',
    default: '',
    doc: 'Network whose pods are reached through this gateway: it becomes an east-west gateway, with the ports of one.',
  },
  kind: { type: 'string', default: 'Deployment', oneOf: ['Deployment', 'DaemonSet'], doc: 'Kind of workload.' },
  replicaCount: { type: 'integer', default: 1, minimum: 0, doc: 'Number of pods without the autoscaler.' },
  labels: {
    type: 'string-map',
    default: {},
    doc: 'Labels of all objects and of the pods; by these Gateways choose it.',
  },
  annotations: { type: 'string-map', default: {}, doc: 'Annotations of the workload.' },
  podAnnotations: { type: 'string-map', default: {}, doc: 'Further annotations of the pods.' },
  imagePullPolicy: {
    type: 'string',
    default: '',
    oneOf: ['', 'Always', 'IfNotPresent', 'Never'],
    doc: 'When the image is pulled.',
  },
  imagePullSecrets: { type: 'list', default: [], doc: "Secrets with the registry's credentials, as a pod names them." },
  env: { type: 'scalar-map', default: {}, doc: 'Environment variables of the proxy.' },
  resources: {
    type: 'map',
    default: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '2000m', memory: '1024Mi' } },
    doc: 'Resources of the proxy.',
  },
  securityContext: {
    type: 'map',
    default: {
      sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }],
      seccompProfile: { type: 'RuntimeDefault' },
    },
    doc: 'Of the pods. The sysctl lets an ordinary user listen on ports 80 and 443.',
  },
  containerSecurityContext: {
    type: 'map',
    default: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsGroup: 1337,
      runAsNonRoot: true,
      runAsUser: 1337,
    },
    doc: 'Of the proxy.',
  },
  'service.type': {
    type: 'string',
    default: 'LoadBalancer',
    oneOf: ['LoadBalancer', 'ClusterIP', 'NodePort', 'None'],
    doc: 'Type of the Service; None: there is none.',
  },
  'service.ports': {
    type: 'list',
    default: [
      { name: 'status-port', port: 15021, protocol: 'TCP', targetPort: 15021 },
      { name: 'http2', port: 80, protocol: 'TCP', targetPort: 80 },
      { name: 'https', port: 443, protocol: 'TCP', targetPort: 443 },
    ],
    doc: 'Ports of the Service; those of an east-west gateway are fixed.',
  },
  'service.annotations': { type: 'string-map', default: {}, doc: 'Annotations of the Service.' },
  'service.loadBalancerIP': { type: 'string', default: '', doc: 'Address that the load balancer is asked for.' },
  'service.loadBalancerSourceRanges': { type: 'string-list', default: [], doc: 'Who may reach the load balancer.' },
  'service.externalTrafficPolicy': {
    type: 'string',
    default: '',
    oneOf: ['', 'Cluster', 'Local'],
    doc: 'Local keeps the address of callers.',
  },
  'service.externalIPs': { type: 'string-list', default: [], doc: 'Addresses of nodes that the Service answers on.' },
  'service.ipFamilyPolicy': {
    type: 'string',
    default: '',
    oneOf: ['', 'SingleStack', 'PreferDualStack', 'RequireDualStack'],
    doc: 'IP families of the Service.',
  },
  'service.ipFamilies': { type: 'string-list', default: [], doc: 'IPv4, IPv6, or both in order of preference.' },
  'serviceAccount.create': { type: 'boolean', default: true, doc: 'Make an account for the pods.' },
  'serviceAccount.name': { type: 'string', default: '', doc: "The account's name; empty: as the gateway." },
  'serviceAccount.annotations': { type: 'string-map', default: {}, doc: 'Annotations of the account.' },
  'rbac.enabled': {
    type: 'boolean',
    default: true,
    doc: 'Let the account read the Secrets of its namespace, where certificates for TLS are kept.',
  },
  'autoscaling.enabled': {
    type: 'boolean',
    default: true,
    doc: 'Let a HorizontalPodAutoscaler set the number of pods.',
  },
  'autoscaling.minReplicas': { type: 'integer', default: 1, minimum: 1, doc: 'Fewest pods.' },
  'autoscaling.maxReplicas': { type: 'integer', default: 5, minimum: 1, doc: 'Most pods.' },
  'autoscaling.targetCPUUtilizationPercentage': {
    type: 'integer',
    default: 80,
    minimum: 1,
    doc: 'Percentage of the requested CPU above which pods are added.',
  },
  'autoscaling.autoscaleBehavior': { type: 'map', default: {}, doc: "The autoscaler's behavior." },
  podDisruptionBudget: {
    type: 'map',
    default: {},
    doc: 'How many pods a drain may take, such as minAvailable: 1; empty: there is no budget.',
  },
  terminationGracePeriodSeconds: { type: 'integer', default: 30, minimum: 0, doc: 'Time to drain connections.' },
  minReadySeconds: { type: 'integer', default: 0, minimum: 0, doc: 'How long a new pod must be ready to count.' },
  priorityClassName: { type: 'string', default: '', doc: 'Priority of the pods.' },
  nodeSelector: { type: 'string-map', default: {}, doc: 'Nodes that the pods may run on.' },
  tolerations: { type: 'list', default: [], doc: 'Taints of nodes that the pods tolerate.' },
  affinity: { type: 'map', default: {}, doc: 'Nodes and neighbours that the pods prefer.' },
  topologySpreadConstraints: { type: 'list', default: [], doc: 'How the pods spread over nodes and zones.' },
  volumes: { type: 'list', default: [], doc: 'Further volumes of the pods.' },
  volumeMounts: { type: 'list', default: [], doc: 'Where the proxy finds them.' },
};

const NAME = include('name');
const LABELS = overlaid('labels', 'labels');
const SELECTOR = include('selector');

function object(apiVersion: string, kind: string, metadata: NodeMap, rest: NodeMap): NodeMap {
  return { apiVersion, kind, metadata: { name: NAME, namespace: NAMESPACE, labels: LABELS, ...metadata }, ...rest };
}

/** Ports of an east-west gateway: status, pods of the network, and the control plane for clusters without one. */
const EAST_WEST_PORTS: readonly Node[] = [
  ['status-port', 15021],
  ['tls', 15443],
  ['tls-istiod', 15012],
  ['tls-webhook', 15017],
].map(([name, port]) => ({ name: name as string, port: port as number, protocol: 'TCP', targetPort: port as number }));

const SERVICE: Node = when(
  not(equal(value('service.type'), 'None')),
  object(
    'v1',
    'Service',
    { annotations: given('service.annotations') },
    {
      spec: {
        type: value('service.type'),
        loadBalancerIP: given('service.loadBalancerIP'),
        loadBalancerSourceRanges: given('service.loadBalancerSourceRanges'),
        externalTrafficPolicy: given('service.externalTrafficPolicy'),
        externalIPs: given('service.externalIPs'),
        ipFamilyPolicy: given('service.ipFamilyPolicy'),
        ipFamilies: given('service.ipFamilies'),
        ports: when(value('networkGateway'), EAST_WEST_PORTS, value('service.ports')),
        selector: SELECTOR,
      },
    },
  ),
);

/** Complete but for the proxy, which the injector puts in the container's place. */
const WORKLOAD: Node = {
  apiVersion: 'apps/v1',
  kind: value('kind'),
  metadata: { name: NAME, namespace: NAMESPACE, labels: LABELS, annotations: given('annotations') },
  spec: {
    replicas: when(all(equal(value('kind'), 'Deployment'), not(value('autoscaling.enabled'))), value('replicaCount')),
    minReadySeconds: given('minReadySeconds'),
    selector: { matchLabels: SELECTOR },
    template: {
      metadata: {
        labels: overlaid('podLabels', 'labels'),
        annotations: overlaid('podAnnotations', 'podAnnotations'),
      },
      spec: {
        serviceAccountName: include('account'),
        terminationGracePeriodSeconds: value('terminationGracePeriodSeconds'),
        priorityClassName: given('priorityClassName'),
        imagePullSecrets: given('imagePullSecrets'),
        securityContext: given('securityContext'),
        nodeSelector: given('nodeSelector'),
        tolerations: given('tolerations'),
        affinity: given('affinity'),
        topologySpreadConstraints: given('topologySpreadConstraints'),
        containers: [
          {
            name: 'istio-proxy',
            image: 'auto',
            imagePullPolicy: given('imagePullPolicy'),
            securityContext: given('containerSecurityContext'),
            env: when({ $: 'any', of: [value('networkGateway'), value('env')] }, [
              when(value('networkGateway'), {
                name: 'ISTIO_META_REQUESTED_NETWORK_VIEW',
                value: value('networkGateway'),
              }),
              {
                $: 'each',
                over: 'env',
                as: 'map',
                node: { name: ENTRY_KEY, value: { $: 'text-of', of: ENTRY_ITEM } },
              },
            ]),
            ports: [{ containerPort: 15090, protocol: 'TCP', name: 'http-envoy-prom' }],
            resources: given('resources'),
            volumeMounts: given('volumeMounts'),
          },
        ],
        volumes: given('volumes'),
      },
    },
  },
};

const ACCOUNT: readonly Node[] = [
  when(
    value('serviceAccount.create'),
    object('v1', 'ServiceAccount', { name: include('account'), annotations: given('serviceAccount.annotations') }, {}),
  ),
  when(
    value('rbac.enabled'),
    object(
      'rbac.authorization.k8s.io/v1',
      'Role',
      {},
      {
        rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch'] }],
      },
    ),
  ),
  when(
    value('rbac.enabled'),
    object(
      'rbac.authorization.k8s.io/v1',
      'RoleBinding',
      {},
      {
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: NAME },
        subjects: [{ kind: 'ServiceAccount', name: include('account'), namespace: NAMESPACE }],
      },
    ),
  ),
];

const SCALING: readonly Node[] = [
  when(
    all(value('autoscaling.enabled'), equal(value('kind'), 'Deployment')),
    object(
      'autoscaling/v2',
      'HorizontalPodAutoscaler',
      {},
      {
        spec: {
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: NAME },
          minReplicas: value('autoscaling.minReplicas'),
          maxReplicas: value('autoscaling.maxReplicas'),
          metrics: [
            {
              type: 'Resource',
              resource: {
                name: 'cpu',
                target: {
                  type: 'Utilization',
                  averageUtilization: value('autoscaling.targetCPUUtilizationPercentage'),
                },
              },
            },
          ],
          behavior: given('autoscaling.autoscaleBehavior'),
        },
      },
    ),
  ),
  when(
    value('podDisruptionBudget'),
    object(
      'policy/v1',
      'PodDisruptionBudget',
      {},
      {
        spec: { '...budget': value('podDisruptionBudget'), selector: { matchLabels: SELECTOR } },
      },
    ),
  ),
];

/** A gateway: a pod whose only container is the proxy. */
export const GATEWAY_CHART: Chart = {
  name: 'gateway',
  description: 'A gateway of the mesh: at its edge, or between networks',
  values: VALUES,
  helpers: {
    name: { doc: 'Name of the gateway', text: [{ $: 'default', first: value('name'), second: { $: 'release-name' } }] },
    account: {
      doc: "Name of the pods' account",
      text: [{ $: 'default', first: value('serviceAccount.name'), second: include('name') }],
    },
    app: { doc: 'Label app of the pods', text: [{ $: 'default', first: value('labels.app'), second: NAME }] },
    shortName: {
      doc: 'Label istio of the pods, by which Gateways choose them: the name without istio- before it',
      text: [
        {
          $: 'default',
          first: value('labels.istio'),
          second: { $: 'trim-prefix', of: NAME, prefix: 'istio-' },
        },
      ],
    },
    selector: {
      doc: 'Labels that the pods are found by',
      map: { app: include('app'), istio: include('shortName') },
    },
    labels: {
      doc: 'Labels of everything that belongs to the gateway',
      map: { '...selector': SELECTOR, 'topology.istio.io/network': given('networkGateway') },
    },
    podLabels: {
      doc: 'Labels of the pods',
      map: {
        '...common': include('labels'),
        'sidecar.istio.io/inject': 'true',
        'istio.io/rev': given('revision'),
      },
    },
    podAnnotations: {
      doc: 'Annotations of the pods',
      map: {
        'inject.istio.io/templates': 'gateway',
        'prometheus.io/port': '15020',
        'prometheus.io/path': '/stats/prometheus',
        'prometheus.io/scrape': 'true',
      },
    },
  },
  files: [
    { name: 'account', objects: ACCOUNT },
    { name: 'service', objects: [SERVICE] },
    { name: 'workload', objects: [WORKLOAD] },
    { name: 'scaling', objects: SCALING },
  ],
  refusals: [],
  warnings: [
    {
      if: all(value('autoscaling.enabled'), not(equal({ $: 'text-of', of: value('replicaCount') }, '1'))),
      message: 'replicaCount does nothing while autoscaling.enabled is true; set autoscaling.minReplicas.',
    },
  ],
  notes: `Gateway {{ include "gateway.name" . }} is installed. Its address, once there is one:

  kubectl get service {{ include "gateway.name" . }} --namespace {{ .Release.Namespace }}`,
};
