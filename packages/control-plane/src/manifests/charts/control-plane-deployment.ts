import { SERVICE_PORTS } from '../manifest-object.ts';
import {
  ENTRY_ITEM,
  ENTRY_KEY,
  type Expression,
  equal,
  given,
  include,
  type Node,
  type NodeMap,
  not,
  overlaid,
  value,
  when,
} from '../template/node.ts';
import { IS_NAMED_REVISION, NAME, namespaced } from './revision-names.ts';

/** OpenShift chooses the user, and refuses pods that name one. */
const IS_OPENSHIFT = equal(value('global.platform'), 'openshift');

/** A named revision's pods are told apart by its name, the default one's as they always were: selectors cannot change. */
const SELECTOR: NodeMap = {
  app: 'istiod',
  istio: when(not(IS_NAMED_REVISION), 'pilot'),
  'istio.io/rev': when(IS_NAMED_REVISION, include('revision')),
};

/** The control plane's Service. */
export const CONTROL_PLANE_SERVICE: NodeMap = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: namespaced(NAME, { annotations: given('pilot.serviceAnnotations') }),
  spec: {
    selector: SELECTOR,
    ipFamilyPolicy: given('pilot.ipFamilyPolicy'),
    ipFamilies: given('pilot.ipFamilies'),
    ports: SERVICE_PORTS.map((port) => ({ ...port })),
  },
};

function fieldRef(name: string, fieldPath: string): Node {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

const CONTAINER: NodeMap = {
  name: 'discovery',
  image: include('image'),
  imagePullPolicy: given('global.imagePullPolicy'),
  args: given('pilot.extraContainerArgs'),
  env: [
    { name: 'REVISION', value: include('revision') },
    { name: 'CLUSTER_ID', value: include('clusterName') },
    { name: 'DOMAIN_SUFFIX', value: value('global.proxy.clusterDomain') },
    { name: 'LOG_LEVEL', value: value('global.logging.level') },
    fieldRef('POD_NAME', 'metadata.name'),
    fieldRef('POD_NAMESPACE', 'metadata.namespace'),
    fieldRef('POD_IP', 'status.podIP'),
    fieldRef('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
    {
      $: 'each',
      over: 'pilot.env',
      as: 'map',
      node: { name: ENTRY_KEY, value: { $: 'text-of', of: ENTRY_ITEM } },
    },
    { $: 'items', path: 'pilot.envVarFrom' },
  ],
  ports: [
    { name: 'http-debug', containerPort: 8080 },
    { name: 'grpc-xds', containerPort: 15010 },
    { name: 'tls-xds', containerPort: 15012 },
    { name: 'https-webhooks', containerPort: 15017 },
    { name: 'http-monitoring', containerPort: 15014 },
  ],
  readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 1, timeoutSeconds: 5 },
  // A minute without any answer: what the process waits for does not come sooner if it is started anew.
  livenessProbe: { httpGet: { path: '/live', port: 8080 }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
  securityContext: {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    runAsNonRoot: true,
    runAsUser: when(not(IS_OPENSHIFT), 1337),
    runAsGroup: when(not(IS_OPENSHIFT), 1337),
    capabilities: { drop: ['ALL'] },
  },
  resources: given('pilot.resources'),
  volumeMounts: [
    { name: 'cacerts', mountPath: '/etc/cacerts', readOnly: true },
    { $: 'items', path: 'pilot.volumeMounts' },
  ],
};

const POD: NodeMap = {
  metadata: {
    labels: overlaid('podLabels', 'pilot.podLabels'),
    annotations: overlaid('podAnnotations', 'pilot.podAnnotations'),
  },
  spec: {
    serviceAccountName: NAME,
    terminationGracePeriodSeconds: 10,
    priorityClassName: given('global.priorityClassName'),
    imagePullSecrets: when(value('global.imagePullSecrets'), [
      { $: 'each', over: 'global.imagePullSecrets', as: 'list', node: { name: ENTRY_ITEM } },
    ]),
    securityContext: { seccompProfile: value('pilot.seccompProfile') },
    nodeSelector: given('pilot.nodeSelector'),
    tolerations: given('pilot.tolerations'),
    affinity: given('pilot.affinity'),
    topologySpreadConstraints: given('pilot.topologySpreadConstraints'),
    containers: [CONTAINER],
    volumes: [
      // Absent: the control plane makes and keeps a root of its own.
      { name: 'cacerts', secret: { secretName: 'cacerts', optional: true } },
      { $: 'items', path: 'pilot.volumes' },
    ],
  },
};

/** The control plane's Deployment. */
export const CONTROL_PLANE_DEPLOYMENT: NodeMap = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: {
    ...namespaced(NAME),
    labels: overlaid('labels', 'pilot.deploymentLabels'),
  },
  spec: {
    // The autoscaler's business where there is one: an installer must not undo what it decided.
    replicas: when(not(value('pilot.autoscaleEnabled')), value('pilot.replicaCount')),
    strategy: {
      rollingUpdate: {
        maxSurge: value('pilot.rollingMaxSurge'),
        maxUnavailable: value('pilot.rollingMaxUnavailable'),
      },
    },
    selector: { matchLabels: SELECTOR },
    template: POD,
  },
};

function scaleTarget(name: Expression): NodeMap {
  return { apiVersion: 'apps/v1', kind: 'Deployment', name };
}

/** How many pods there are, and how many may be away. */
export const CONTROL_PLANE_SCALING: readonly Node[] = [
  when(value('pilot.autoscaleEnabled'), {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: namespaced(NAME),
    spec: {
      scaleTargetRef: scaleTarget(NAME),
      minReplicas: value('pilot.autoscaleMin'),
      maxReplicas: value('pilot.autoscaleMax'),
      metrics: [
        {
          type: 'Resource',
          resource: {
            name: 'cpu',
            target: { type: 'Utilization', averageUtilization: value('pilot.cpu.targetAverageUtilization') },
          },
        },
      ],
      behavior: given('pilot.autoscaleBehavior'),
    },
  }),
  when(value('global.defaultPodDisruptionBudget.enabled'), {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: namespaced(NAME),
    // A minimum would keep the node of an only pod from ever being drained.
    spec: { maxUnavailable: 1, selector: { matchLabels: SELECTOR } },
  }),
];
