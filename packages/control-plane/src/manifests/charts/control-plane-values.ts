import type { ValuesTable } from '../template/values-table.ts';
import {
  INJECTION_WEBHOOK_VALUES,
  ISTIO_NAMESPACE_VALUE,
  MESH_NAME_PATTERN,
  READER_VALUES,
  REVISION_VALUES,
} from './chart-values.ts';

/** Values about sidecars, which the injector reads. */
const PROXY_VALUES: ValuesTable = {
  'global.proxy.autoInject': {
    type: 'string',
    default: 'enabled',
    oneOf: ['enabled', 'disabled'],
    doc: 'Whether pods of labelled namespaces that say nothing themselves get a sidecar.',
  },
  'global.proxy.image': {
    type: 'string',
    default: 'agent',
    doc: 'Image of sidecars; with a slash it is taken as it is, else it gets hub and tag.',
  },
  'global.proxy.binary': {
    type: 'string',
    default: '',
    doc: "An executable in that image that sidecars run instead of Meltemi's proxy, such as /usr/local/bin/envoy.",
  },
  'global.proxy.clusterDomain': { type: 'string', default: 'cluster.local', doc: 'DNS suffix of the cluster.' },
  'global.proxy.logLevel': { type: 'string', default: 'warning', doc: "Level of the proxy's log." },
  'global.proxy.componentLogLevel': {
    type: 'string',
    default: 'misc:error',
    doc: "Levels of parts of the proxy's log, as Envoy takes them.",
  },
  'global.proxy.includeIPRanges': {
    type: 'string',
    default: '*',
    doc: 'Outbound traffic to these ranges is captured, comma separated.',
  },
  'global.proxy.excludeIPRanges': { type: 'string', default: '', doc: 'Outbound traffic to these ranges is not.' },
  'global.proxy.includeOutboundPorts': {
    type: 'string',
    default: '',
    doc: 'Outbound traffic to these ports is captured whatever the range.',
  },
  'global.proxy.excludeOutboundPorts': { type: 'string', default: '', doc: 'Outbound traffic to these ports is not.' },
  'global.proxy.includeInboundPorts': {
    type: 'string',
    default: '*',
    doc: 'Inbound traffic to these ports is captured.',
  },
  'global.proxy.excludeInboundPorts': { type: 'string', default: '', doc: 'Inbound traffic to these ports is not.' },
  'global.proxy.statusPort': { type: 'integer', default: 15020, minimum: 0, doc: 'Port of the agent in every pod.' },
  'global.proxy.readinessInitialDelaySeconds': {
    type: 'integer',
    default: 0,
    minimum: 0,
    doc: 'Wait before the first readiness probe of sidecars.',
  },
  'global.proxy.readinessPeriodSeconds': {
    type: 'integer',
    default: 15,
    minimum: 1,
    doc: 'Time between readiness probes of sidecars.',
  },
  'global.proxy.readinessFailureThreshold': {
    type: 'integer',
    default: 4,
    minimum: 1,
    doc: 'Failed probes after which a sidecar is not ready.',
  },
  'global.proxy.startupProbe.enabled': {
    type: 'boolean',
    default: true,
    doc: 'Let sidecars that Kubernetes runs as such be started only when they can take traffic.',
  },
  'global.proxy.startupProbe.failureThreshold': {
    type: 'integer',
    default: 600,
    minimum: 1,
    doc: 'Failed probes, one a second, after which the sidecar is started anew.',
  },
  'global.proxy.holdApplicationUntilProxyStarts': {
    type: 'boolean',
    default: false,
    doc: 'Start the containers of a pod only when its sidecar is ready.',
  },
  'global.proxy.capNetBindService': {
    type: 'boolean',
    default: false,
    doc: 'Let sidecars listen on ports below 1024: they then run as root.',
  },
  'global.proxy.privileged': { type: 'boolean', default: false, doc: 'Run sidecars as privileged containers.' },
  'global.proxy.lifecycle': { type: 'map', default: {}, doc: 'Hooks of sidecars in place of the built-in ones.' },
  'global.proxy.seccompProfile': { type: 'map', default: {}, doc: 'Seccomp profile of sidecars.' },
  'global.proxy.separateAddresses': {
    type: 'boolean',
    default: false,
    doc: 'For kubelets that give each pod a second address for its application, as the loopback sandbox does.',
  },
  'global.proxy.resources': {
    type: 'map',
    default: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '2000m', memory: '1024Mi' } },
    doc: 'Resources of sidecars.',
  },
  'global.proxy_init.image': {
    type: 'string',
    default: 'agent',
    doc: 'Image of the container that sets capture up, as proxy.image.',
  },
};

const GLOBAL_VALUES: ValuesTable = {
  'global.istioNamespace': ISTIO_NAMESPACE_VALUE,
  'global.hub': { type: 'string', default: 'docker.io/meltemi', doc: 'Registry and folder of images.' },
  'global.tag': { type: 'string', default: '', doc: "Tag of images; empty: the chart's appVersion." },
  'global.imagePullPolicy': {
    type: 'string',
    default: '',
    oneOf: ['', 'Always', 'IfNotPresent', 'Never'],
    doc: 'When images are pulled; empty leaves it to Kubernetes.',
  },
  'global.imagePullSecrets': {
    type: 'string-list',
    default: [],
    doc: "Secrets with the registry's credentials, for the control plane's pods and for injected ones.",
  },
  'global.priorityClassName': { type: 'string', default: '', doc: "Priority of the control plane's pods." },
  'global.meshID': { type: 'string', default: '', doc: 'Name of the mesh; empty: its trust domain.' },
  'global.network': {
    type: 'string',
    default: '',
    pattern: MESH_NAME_PATTERN,
    doc: 'The network that this cluster is on; empty: the mesh has one network, without a name.',
  },
  'global.meshNetworks': {
    type: 'map',
    default: {},
    doc: 'Networks by name, with what is on them (endpoints) and the ways into them (gateways). Checked; without effect yet.',
  },
  'global.multiCluster.clusterName': {
    type: 'string',
    default: '',
    pattern: MESH_NAME_PATTERN,
    doc: 'How this cluster is known in the mesh: the key in its remote secret; empty: Kubernetes.',
  },
  'global.platform': {
    type: 'string',
    default: '',
    oneOf: ['', 'openshift'],
    doc: 'What the cluster is made with. On openshift the control plane names no user of its own, and sidecars run as the last user and group that the annotations of their namespace allow.',
  },
  'global.externalIstiod': {
    type: 'boolean',
    default: false,
    doc: "That this control plane serves clusters without one. It always does, when a remote cluster's istio-system names it; true only draws attention to that.",
  },
  'global.enableReaderRBAC': {
    type: 'boolean',
    default: true,
    doc: "Roles for the reader's account, whose token the control planes of other clusters use.",
  },
  'global.caAddress': {
    type: 'string',
    default: '',
    doc: 'Where sidecars get their certificates; empty: from the control plane.',
  },
  'global.logAsJson': { type: 'boolean', default: false, doc: 'Logs of sidecars as JSON.' },
  'global.logging.level': {
    type: 'string',
    default: 'default:info',
    doc: 'Levels of the logs of control plane and agents: debug, info, warn or error, by scope.',
  },
  'global.defaultPodDisruptionBudget.enabled': {
    type: 'boolean',
    default: true,
    doc: 'Keep drains of nodes from taking more than one pod of the control plane at a time.',
  },
};

const PILOT_VALUES: ValuesTable = {
  'pilot.image': {
    type: 'string',
    default: 'control-plane',
    doc: 'Image of the control plane; with a slash it is taken as it is, else it gets hub and tag.',
  },
  'pilot.autoscaleEnabled': {
    type: 'boolean',
    default: true,
    doc: 'Let a HorizontalPodAutoscaler set the number of pods.',
  },
  'pilot.autoscaleMin': { type: 'integer', default: 1, minimum: 1, doc: 'Fewest pods.' },
  'pilot.autoscaleMax': { type: 'integer', default: 5, minimum: 1, doc: 'Most pods.' },
  'pilot.autoscaleBehavior': { type: 'map', default: {}, doc: "The autoscaler's behavior." },
  'pilot.cpu.targetAverageUtilization': {
    type: 'integer',
    default: 80,
    minimum: 1,
    doc: 'Percentage of the requested CPU above which pods are added.',
  },
  'pilot.replicaCount': { type: 'integer', default: 1, minimum: 0, doc: 'Number of pods without the autoscaler.' },
  'pilot.rollingMaxSurge': { type: 'int-or-string', default: '100%', doc: 'Pods more than wanted during an update.' },
  'pilot.rollingMaxUnavailable': {
    type: 'int-or-string',
    default: '25%',
    doc: 'Pods less than wanted during an update.',
  },
  'pilot.resources': {
    type: 'map',
    default: { requests: { cpu: '100m', memory: '256Mi' } },
    doc: 'Resources of the control plane.',
  },
  'pilot.env': {
    type: 'scalar-map',
    default: {},
    doc: 'Further environment variables, such as PILOT_DEBOUNCE_AFTER; "pilot-discovery --help" lists those that it knows.',
  },
  'pilot.envVarFrom': {
    type: 'list',
    default: [],
    doc: 'The same from ConfigMaps, Secrets or fields, as a container has them.',
  },
  'pilot.extraContainerArgs': { type: 'string-list', default: [], doc: 'Further arguments.' },
  'pilot.seccompProfile': {
    type: 'map',
    default: { type: 'RuntimeDefault' },
    doc: 'System calls that the pods may make.',
  },
  'pilot.nodeSelector': { type: 'string-map', default: {}, doc: 'Nodes that the pods may run on.' },
  'pilot.tolerations': { type: 'list', default: [], doc: 'Taints of nodes that the pods tolerate.' },
  'pilot.affinity': { type: 'map', default: {}, doc: 'Nodes and neighbours that the pods prefer.' },
  'pilot.topologySpreadConstraints': { type: 'list', default: [], doc: 'How the pods spread over nodes and zones.' },
  'pilot.podAnnotations': { type: 'string-map', default: {}, doc: 'Further annotations of the pods.' },
  'pilot.podLabels': { type: 'string-map', default: {}, doc: 'Further labels of the pods.' },
  'pilot.deploymentLabels': { type: 'string-map', default: {}, doc: 'Further labels of the Deployment.' },
  'pilot.serviceAnnotations': { type: 'string-map', default: {}, doc: 'Annotations of the Service.' },
  'pilot.serviceAccountAnnotations': { type: 'string-map', default: {}, doc: 'Annotations of the account.' },
  'pilot.volumes': { type: 'list', default: [], doc: 'Further volumes of the pods.' },
  'pilot.volumeMounts': { type: 'list', default: [], doc: 'Where the container finds them.' },
  'pilot.ipFamilyPolicy': {
    type: 'string',
    default: '',
    oneOf: ['', 'SingleStack', 'PreferDualStack', 'RequireDualStack'],
    doc: "IP families of the Service; empty: the cluster's default.",
  },
  'pilot.ipFamilies': { type: 'string-list', default: [], doc: 'IPv4, IPv6, or both in order of preference.' },
};

/** Every value of chart `control-plane`. */
export const CONTROL_PLANE_VALUES: ValuesTable = {
  ...REVISION_VALUES,
  meshConfig: {
    type: 'map',
    default: {},
    doc: 'MeshConfig: settings of the whole mesh. What is not set keeps its default.',
  },
  ...GLOBAL_VALUES,
  ...PROXY_VALUES,
  ...PILOT_VALUES,
  'sidecarInjectorWebhook.rewriteAppHTTPProbe': {
    type: 'boolean',
    default: true,
    doc: "Point the applications' probes at the agent, so that they work where only mutual TLS is accepted.",
  },
  'sidecarInjectorWebhook.neverInjectSelector': {
    type: 'list',
    default: [],
    doc: 'Label selectors of pods that never get a sidecar.',
  },
  'sidecarInjectorWebhook.alwaysInjectSelector': {
    type: 'list',
    default: [],
    doc: 'Label selectors of pods that get one although autoInject is disabled.',
  },
  'sidecarInjectorWebhook.templates': {
    type: 'map',
    default: {},
    doc: 'Templates of pods by name, in the Go templates that Istio has; a built-in name replaces that one.',
  },
  'sidecarInjectorWebhook.aliases': { type: 'map', default: {}, doc: 'Names for several templates together.' },
  'sidecarInjectorWebhook.defaultTemplates': {
    type: 'string-list',
    default: [],
    doc: 'Templates of pods that name none; empty: sidecar.',
  },
  'sidecarInjectorWebhook.injectedAnnotations': {
    type: 'map',
    default: {},
    doc: 'Annotations that every injected pod gets.',
  },
  ...INJECTION_WEBHOOK_VALUES,
  ...READER_VALUES,
};
