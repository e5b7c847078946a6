import { CHARTS, type JsonMap } from '@meltemi/control-plane';

/** What a chart needs to be rendered at all. */
export const NEEDED: Readonly<Record<string, JsonMap>> = {
  remote: { global: { multiCluster: { clusterName: 'cluster2' } } },
};

/** A chart with values. */
export interface Case {
  readonly chart: string;
  readonly what: string;
  readonly values: JsonMap;
  readonly namespace?: string;
}

/** Values that take every branch of the charts, and that are hard to print: numbers, quotes, empty maps. */
export const CASES: readonly Case[] = [
  ...CHARTS.map(({ name }) => ({ chart: name, what: 'with its defaults', values: NEEDED[name] ?? {} })),
  {
    chart: 'base',
    what: 'without definitions and validator',
    values: { base: { enableCRDTemplates: false }, defaultRevision: '' },
  },
  {
    chart: 'base',
    what: 'with a validator elsewhere',
    values: {
      base: { validationURL: 'https://istiod.example.com:15017/validate', validationCABundle: 'eA==' },
      defaultRevision: 'canary',
    },
  },
  {
    chart: 'control-plane',
    what: 'of a revision in another namespace, with everything set',
    namespace: 'mesh',
    values: {
      revision: 'canary',
      meshConfig: {
        enableAutoMtls: false,
        accessLogFormat: 'say "%REQ(X)%" <a & b>\n',
        defaultConfig: { proxyMetadata: { N: '1' }, holdApplicationUntilProxyStarts: false },
      },
      global: {
        istioNamespace: 'mesh',
        hub: 'registry.example.com/m',
        tag: '1.2',
        imagePullPolicy: 'Always',
        imagePullSecrets: ['a', 'b'],
        priorityClassName: 'high',
        meshID: 'mesh1',
        network: 'network1',
        platform: 'openshift',
        meshNetworks: {
          network1: { endpoints: [{ fromRegistry: 'cluster1' }], gateways: [{ address: '192.0.2.1', port: 15443 }] },
        },
        multiCluster: { clusterName: 'cluster1' },
        logging: { level: 'xds:debug' },
        defaultPodDisruptionBudget: { enabled: false },
        proxy: { includeIPRanges: '10.0.0.0/8', resources: { requests: { cpu: '1' } }, excludeInboundPorts: '80,443' },
      },
      pilot: {
        autoscaleEnabled: false,
        replicaCount: 3,
        rollingMaxSurge: 1,
        env: { A_NUMBER: 12_345_678, A_FRACTION: 0.5, A_FLAG: true, A_TEXT: 'it\'s "1e3"', AN_EMPTY: '' },
        envVarFrom: [{ name: 'X', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
        extraContainerArgs: ['--log-level=debug'],
        nodeSelector: { 'kubernetes.io/os': 'linux' },
        tolerations: [{ key: 'a', operator: 'Exists' }],
        affinity: { nodeAffinity: {} },
        topologySpreadConstraints: [
          { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway', labelSelector: {} },
        ],
        podAnnotations: { 'prometheus.io/scrape': 'false', more: '1' },
        podLabels: { tier: 'control' },
        deploymentLabels: { team: 'mesh' },
        serviceAnnotations: { a: 'b' },
        serviceAccountAnnotations: { c: 'd' },
        volumes: [{ name: 'v', emptyDir: {} }],
        volumeMounts: [{ name: 'v', mountPath: '/v' }],
        ipFamilyPolicy: 'PreferDualStack',
        ipFamilies: ['IPv6', 'IPv4'],
      },
      sidecarInjectorWebhook: {
        neverInjectSelector: [{ matchLabels: { job: 'yes' } }],
        alwaysInjectSelector: [{ matchExpressions: [{ key: 'app', operator: 'Exists' }] }],
        reinvocationPolicy: 'IfNeeded',
        rewriteAppHTTPProbe: false,
        templates: { own: 'spec:\n  containers:\n  - name: {{ .ProxyImage }} # "quoted"\n' },
        aliases: { both: ['sidecar', 'own'] },
        defaultTemplates: ['both'],
      },
      reader: { secrets: true, configuration: true },
    },
  },
  {
    chart: 'control-plane',
    what: 'with an autoscaler that is told how, for all namespaces, and without the reader',
    values: {
      pilot: {
        autoscaleMin: 2,
        autoscaleMax: 9,
        autoscaleBehavior: { scaleDown: { stabilizationWindowSeconds: 60 } },
        image: 'own/image@sha256:00',
      },
      global: { enableReaderRBAC: false },
      sidecarInjectorWebhook: { enableNamespacesByDefault: true },
    },
  },
  {
    chart: 'remote',
    what: 'at an address, on a network, as configuration cluster',
    values: {
      global: {
        multiCluster: { clusterName: 'cluster2' },
        network: 'network2',
        remotePilotAddress: '192.0.2.7',
        configCluster: true,
      },
      istiodRemote: { injectionPath: '/inject/v1' },
      reader: { secrets: true },
    },
  },
  {
    chart: 'remote',
    what: 'at a name, with a webhook elsewhere',
    namespace: 'mesh',
    values: {
      revision: 'canary',
      global: {
        multiCluster: { clusterName: 'cluster2' },
        remotePilotAddress: 'istiod.example.com',
        enableReaderRBAC: false,
      },
      istiodRemote: { injectionURL: 'https://istiod.example.com:15017/inject', injectionCABundle: 'eA==' },
    },
  },
  {
    chart: 'gateway',
    what: 'between networks, with everything set',
    values: {
      name: 'istio-eastwestgateway',
      revision: 'canary',
      networkGateway: 'network1',
      labels: { istio: 'eastwest', team: 'mesh' },
      annotations: { a: 'b' },
      podAnnotations: { 'prometheus.io/scrape': 'false' },
      env: { N: 1_000_000, T: 'x' },
      autoscaling: { enabled: false },
      replicaCount: 2,
      imagePullPolicy: 'Never',
      imagePullSecrets: [{ name: 's' }],
      service: {
        loadBalancerIP: '192.0.2.9',
        loadBalancerSourceRanges: ['192.0.2.0/24'],
        externalTrafficPolicy: 'Local',
        externalIPs: ['192.0.2.1'],
        ipFamilyPolicy: 'SingleStack',
        ipFamilies: ['IPv4'],
        annotations: { x: 'y' },
      },
      serviceAccount: { name: 'own', annotations: { r: 's' } },
      podDisruptionBudget: { minAvailable: 1 },
      minReadySeconds: 5,
      priorityClassName: 'high',
      nodeSelector: { a: 'b' },
      tolerations: [{ operator: 'Exists' }],
      affinity: { podAntiAffinity: {} },
      topologySpreadConstraints: [],
      volumes: [{ name: 'v', emptyDir: {} }],
      volumeMounts: [{ name: 'v', mountPath: '/v' }],
    },
  },
  {
    chart: 'gateway',
    what: 'on every node, without Service and account',
    values: {
      kind: 'DaemonSet',
      service: { type: 'None' },
      serviceAccount: { create: false },
      rbac: { enabled: false },
      autoscaling: { autoscaleBehavior: { scaleUp: {} } },
      resources: {},
      securityContext: null,
    },
  },
];
