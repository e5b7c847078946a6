import type { MeshConfig } from '@meltemi/api';
import type { LabelSelector } from '@meltemi/kube';
import { DEFAULT_INJECTOR_CONFIG, type InjectorConfig } from './injector-config.ts';
import type { TemplateSet } from './templates/template-set.ts';

/** The documents that the injector's configuration is made of, parsed. */
export interface InjectorDocuments {
  /** Key `values` of ConfigMap `istio-sidecar-injector`: the installation's values. */
  readonly values: unknown;
  /** Key `config`: policy and selectors. */
  readonly config?: unknown;
  /** The templates of key `config`, read by {@link readTemplates}. Default: the built-in ones. */
  readonly templates?: TemplateSet;
  readonly revision: string;
  /** MeshConfig with its defaults. */
  readonly meshConfig: InjectorMeshConfig;
}

/** The parts of MeshConfig that injection depends on; templates of users may read others. */
export type InjectorMeshConfig = Pick<
  MeshConfig,
  'trustDomain' | 'defaultConfig' | 'proxyHttpPort' | 'enablePrometheusMerge'
>;

type Json = Readonly<Record<string, unknown>>;

/** Reads the injector's configuration; what is absent has the default, and what has the wrong type counts as absent. */
export function readInjectorConfig({
  values,
  config,
  templates = DEFAULT_INJECTOR_CONFIG.templates,
  revision,
  meshConfig,
}: InjectorDocuments): InjectorConfig {
  const defaults = DEFAULT_INJECTOR_CONFIG;
  const { trustDomain, proxyHttpPort, enablePrometheusMerge } = meshConfig;
  const proxyConfig: Json = { ...meshConfig.defaultConfig };
  const global = member(values, 'global');
  const proxy = member(global, 'proxy');
  const initImage = imageOf(global, text(member(global, 'proxy_init'), 'image', ''), defaults.initImage);
  const webhook = member(values, 'sidecarInjectorWebhook');
  const startupProbe = member(proxy, 'startupProbe');
  const istiodAddress = text(
    proxyConfig,
    'discoveryAddress',
    text(global, 'discoveryAddress', defaults.discoveryAddress),
  );
  return {
    ...defaults,
    revision: revision === '' ? 'default' : revision,
    policy: text(config, 'policy', defaults.policy),
    neverInjectSelectors: [...selectors(config, 'neverInjectSelector'), ...selectors(webhook, 'neverInjectSelector')],
    alwaysInjectSelectors: [
      ...selectors(config, 'alwaysInjectSelector'),
      ...selectors(webhook, 'alwaysInjectSelector'),
    ],
    clusterId: text(member(global, 'multiCluster'), 'clusterName', defaults.clusterId),
    network: text(global, 'network', defaults.network),
    meshId: text(global, 'meshID', trustDomain),
    trustDomain,
    clusterDomain: text(proxy, 'clusterDomain', defaults.clusterDomain),
    discoveryAddress: istiodAddress,
    caAddress: text(global, 'caAddress', '') || istiodAddress,
    proxyImage: imageOf(global, text(proxy, 'image', ''), defaults.proxyImage),
    initImage,
    imagePullPolicy: text(global, 'imagePullPolicy', ''),
    imagePullSecrets: texts(global, 'imagePullSecrets'),
    proxyBinary: text(proxy, 'binary', '') || undefined,
    proxyConfig,
    httpProxyPort: proxyHttpPort,
    separateAddresses: flag(proxy, 'separateAddresses', defaults.separateAddresses),
    logLevel: text(proxy, 'logLevel', defaults.logLevel),
    componentLogLevel: text(proxy, 'componentLogLevel', defaults.componentLogLevel),
    agentLogLevel: text(member(global, 'logging'), 'level', defaults.agentLogLevel),
    logAsJson: flag(global, 'logAsJson', defaults.logAsJson),
    capture: {
      includeOutboundIPRanges: text(proxy, 'includeIPRanges', defaults.capture.includeOutboundIPRanges),
      excludeOutboundIPRanges: text(proxy, 'excludeIPRanges', defaults.capture.excludeOutboundIPRanges),
      includeOutboundPorts: text(proxy, 'includeOutboundPorts', defaults.capture.includeOutboundPorts),
      excludeOutboundPorts: text(proxy, 'excludeOutboundPorts', defaults.capture.excludeOutboundPorts),
      includeInboundPorts: text(proxy, 'includeInboundPorts', defaults.capture.includeInboundPorts),
      excludeInboundPorts: text(proxy, 'excludeInboundPorts', defaults.capture.excludeInboundPorts),
    },
    statusPort: number(proxy, 'statusPort', number(proxyConfig, 'statusPort', defaults.statusPort)),
    readiness: {
      initialDelaySeconds: number(proxy, 'readinessInitialDelaySeconds', defaults.readiness.initialDelaySeconds),
      periodSeconds: number(proxy, 'readinessPeriodSeconds', defaults.readiness.periodSeconds),
      failureThreshold: number(proxy, 'readinessFailureThreshold', defaults.readiness.failureThreshold),
    },
    startupFailureThreshold: flag(startupProbe, 'enabled', true)
      ? number(startupProbe, 'failureThreshold', defaults.startupFailureThreshold)
      : 0,
    resources: member(proxy, 'resources') ?? defaults.resources,
    isOpenShift: isOnOpenShift(values),
    rewriteProbes: flag(webhook, 'rewriteAppHTTPProbe', defaults.rewriteProbes),
    mergeMetrics: enablePrometheusMerge,
    holdApplicationUntilProxyStarts: flag(proxy, 'holdApplicationUntilProxyStarts', false),
    cniEnabled: flag(
      member(member(values, 'pilot'), 'cni'),
      'enabled',
      flag(member(values, 'istio_cni'), 'enabled', false),
    ),
    privileged: flag(proxy, 'privileged', defaults.privileged),
    capNetBindService: flag(proxy, 'capNetBindService', defaults.capNetBindService),
    lifecycle: nonEmptyMember(proxy, 'lifecycle'),
    seccompProfile: readSeccompProfile(proxy),
    injectedAnnotations: {
      ...strings(member(webhook, 'injectedAnnotations')),
      ...strings(member(config, 'injectedAnnotations')),
    },
    templates,
    values: isJson(values) ? values : {},
    meshConfig: { ...meshConfig },
  };
}

/** Whether an installation's values say that its cluster is one of OpenShift. */
export function isOnOpenShift(values: unknown): boolean {
  return text(member(values, 'global'), 'platform', '') === 'openshift';
}

/** `hub/image:tag`, unless the image names a registry or path itself. */
function imageOf(global: Json | undefined, image: string, fallback: string): string {
  if (image === '') return fallback;
  const hub = text(global, 'hub', '');
  const tag = text(global, 'tag', '');
  if (image.includes('/') || hub === '') return image;
  return tag === '' ? `${hub}/${image}` : `${hub}/${image}:${tag}`;
}

function member(parent: unknown, name: string): Json | undefined {
  const value = isJson(parent) ? parent[name] : undefined;
  return isJson(value) ? value : undefined;
}

function nonEmptyMember(parent: unknown, name: string): Json | undefined {
  const value = member(parent, name);
  return value === undefined || Object.keys(value).length === 0 ? undefined : value;
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(parent: unknown, name: string, fallback: string): string {
  const value = isJson(parent) ? parent[name] : undefined;
  return typeof value === 'string' || typeof value === 'number' ? String(value) : fallback;
}

function number(parent: unknown, name: string, fallback: number): number {
  const value = isJson(parent) ? parent[name] : undefined;
  return typeof value === 'number' && value >= 0 ? value : fallback;
}

function flag(parent: unknown, name: string, fallback: boolean): boolean {
  const value = isJson(parent) ? parent[name] : undefined;
  return typeof value === 'boolean' ? value : fallback;
}

function texts(parent: unknown, name: string): readonly string[] {
  const value = isJson(parent) ? parent[name] : undefined;
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function strings(parent: Json | undefined): Readonly<Record<string, string>> {
  const entries = Object.entries(parent ?? {});
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

function readSeccompProfile(proxy: Json | undefined): InjectorConfig['seccompProfile'] {
  const profile = member(proxy, 'seccompProfile');
  const type = text(profile, 'type', '');
  return type === '' ? undefined : { ...profile, type };
}

function selectors(parent: unknown, name: string): readonly LabelSelector[] {
  const value = isJson(parent) ? parent[name] : undefined;
  // A selector's members are looked at when it is matched; one that says nothing would match every pod.
  return Array.isArray(value) ? value.filter((selector) => isJson(selector) && Object.keys(selector).length > 0) : [];
}
