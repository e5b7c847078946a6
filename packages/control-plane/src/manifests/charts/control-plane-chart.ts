import type { Chart } from '../template/chart.ts';
import {
  APP_VERSION,
  all,
  equal,
  given,
  include,
  NAMESPACE,
  type Node,
  not,
  type TextPart,
  text,
  value,
  when,
} from '../template/node.ts';
import { controlPlaneAccessNodes, readerAccessNodes } from './access.ts';
import { NAMESPACE_REFUSAL } from './chart-values.ts';
import { CONTROL_PLANE_DEPLOYMENT, CONTROL_PLANE_SCALING, CONTROL_PLANE_SERVICE } from './control-plane-deployment.ts';
import { CONTROL_PLANE_VALUES } from './control-plane-values.ts';
import { clusterName, LABELS, NAME, namespaced, REVISION_HELPERS } from './revision-names.ts';
import { injectionConfiguration, objectsOfRevision, validationConfiguration } from './webhooks.ts';

const PILOT_IMAGE: readonly TextPart[] = [
  {
    $: 'choose',
    if: { $: 'contains', text: value('pilot.image'), part: '/' },
    yes: [value('pilot.image')],
    no: [value('global.hub'), '/', value('pilot.image'), ':', include('tag')],
  },
];

/** MeshConfig is YAML for people to read; the injector's values are JSON, as Istio's are. */
const CONFIGURATION: readonly Node[] = [
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: namespaced(text('istio', include('suffix'))),
    data: {
      mesh: { $: 'document', format: 'yaml', helper: 'mesh', overlay: 'meshConfig' },
      meshNetworks: when(value('global.meshNetworks'), { $: 'document', format: 'yaml', helper: 'meshNetworks' }),
    },
  },
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: namespaced(text('istio-sidecar-injector', include('suffix'))),
    data: {
      config: { $: 'document', format: 'yaml', helper: 'injectorConfig' },
      values: { $: 'document', format: 'json', helper: 'injectorValues' },
    },
  },
];

/** A control plane: one revision of it. */
export const CONTROL_PLANE_CHART: Chart = {
  name: 'control-plane',
  description: "Meltemi's control plane: discovery, certificates, sidecar injection, validation",
  values: CONTROL_PLANE_VALUES,
  helpers: {
    ...REVISION_HELPERS,
    tag: {
      doc: 'Tag of images',
      text: [{ $: 'default', first: value('global.tag'), second: APP_VERSION }],
    },
    image: { doc: 'Image of the control plane', text: PILOT_IMAGE },
    clusterName: {
      doc: 'How the cluster is known in the mesh',
      text: [
        {
          $: 'default',
          first: value('global.multiCluster.clusterName'),
          second: text('Kubernetes'),
        },
      ],
    },
    podLabels: { doc: 'Labels of the pods', map: { '...common': LABELS, 'sidecar.istio.io/inject': 'false' } },
    podAnnotations: {
      doc: 'Annotations of the pods',
      map: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '15014' },
    },
    mesh: {
      doc: 'What MeshConfig says of the installation itself',
      map: {
        rootNamespace: NAMESPACE,
        defaultConfig: {
          discoveryAddress: text('istiod', include('suffix'), '.', NAMESPACE, '.svc:15012'),
        },
      },
    },
    meshNetworks: { doc: 'The networks of the mesh', map: { networks: value('global.meshNetworks') } },
    injectorConfig: {
      doc: 'Which pods get a sidecar',
      map: {
        policy: value('global.proxy.autoInject'),
        neverInjectSelector: given('sidecarInjectorWebhook.neverInjectSelector'),
        alwaysInjectSelector: given('sidecarInjectorWebhook.alwaysInjectSelector'),
        templates: given('sidecarInjectorWebhook.templates'),
        aliases: given('sidecarInjectorWebhook.aliases'),
        defaultTemplates: given('sidecarInjectorWebhook.defaultTemplates'),
        injectedAnnotations: given('sidecarInjectorWebhook.injectedAnnotations'),
      },
    },
    injectorValues: {
      doc: 'What sidecars are made of, by the names of these values',
      map: {
        global: {
          hub: value('global.hub'),
          tag: include('tag'),
          imagePullPolicy: value('global.imagePullPolicy'),
          imagePullSecrets: value('global.imagePullSecrets'),
          caAddress: value('global.caAddress'),
          logAsJson: value('global.logAsJson'),
          logging: value('global.logging'),
          meshID: given('global.meshID'),
          network: value('global.network'),
          platform: given('global.platform'),
          multiCluster: { clusterName: include('clusterName') },
          proxy: value('global.proxy'),
          proxy_init: value('global.proxy_init'),
        },
        sidecarInjectorWebhook: { rewriteAppHTTPProbe: value('sidecarInjectorWebhook.rewriteAppHTTPProbe') },
      },
    },
  },
  files: [
    { name: 'access', objects: controlPlaneAccessNodes({ annotations: 'pilot.serviceAccountAnnotations' }) },
    { name: 'reader-access', objects: readerAccessNodes() },
    { name: 'configuration', objects: CONFIGURATION },
    { name: 'service', objects: [CONTROL_PLANE_SERVICE] },
    { name: 'deployment', objects: [CONTROL_PLANE_DEPLOYMENT] },
    { name: 'scaling', objects: CONTROL_PLANE_SCALING },
    {
      name: 'webhooks',
      objects: [
        injectionConfiguration({ service: { namespace: NAMESPACE, name: NAME, path: '/inject', port: 443 } }),
        validationConfiguration({
          name: clusterName('istio-validator'),
          labels: LABELS,
          clientConfig: { service: { name: NAME, namespace: NAMESPACE, path: '/validate', port: 443 } },
          objects: objectsOfRevision(include('revision')),
        }),
      ],
    },
  ],
  refusals: [NAMESPACE_REFUSAL],
  warnings: [
    {
      if: all(value('pilot.autoscaleEnabled'), not(equal({ $: 'text-of', of: value('pilot.replicaCount') }, '1'))),
      message: 'pilot.replicaCount does nothing while pilot.autoscaleEnabled is true; set pilot.autoscaleMin.',
    },
    {
      if: value('global.externalIstiod'),
      message:
        'global.externalIstiod changes nothing here: a control plane looks after every attached cluster whose istio-system names it in the annotation topology.istio.io/controlPlaneClusters.',
    },
  ],
  notes: `The control plane {{ include "control-plane.name" . }} of revision {{ include "control-plane.revision" . }} is installed.

Pods that are created in a labelled namespace from now on get a sidecar:

  kubectl label namespace default {{ if eq (include "control-plane.revision" .) "default" }}istio-injection=enabled{{ else }}istio.io/rev={{ include "control-plane.revision" . }}{{ end }}
{{- if .Values.global.network }}

Helm does not label namespaces, and the control plane reads its network there:

  kubectl label namespace {{ .Release.Namespace }} topology.istio.io/network={{ .Values.global.network }}
{{- end }}`,
};
