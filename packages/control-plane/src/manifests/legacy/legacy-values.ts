import type { ManifestObject } from '../manifest-object.ts';
import { isJsonMap, type Json, type JsonMap, overlay, valueAt } from '../template/values-table.ts';
import { legacyDiscovery, meshWideMtls } from './legacy-objects.ts';

/** What values of a chart of Istio 1.0 to 1.4 come to today. */
export interface TranslatedValues {
  /** Whether they are of a cluster without a control plane: `istio-remote`, or `istio` with `values-istio-remote.yaml`. */
  readonly isRemote: boolean;
  readonly values: JsonMap;
  /** What today's charts do not have. */
  readonly objects: readonly ManifestObject[];
  /** One sentence for each value that has no equivalent. */
  readonly warnings: readonly string[];
}

/** What becomes of one value: it moves, it is said otherwise, it goes without saying, or it is lost. */
type Rule =
  | { readonly to: string }
  | { readonly by: (json: Json) => JsonMap }
  /** What it asks for happens anyway, when it is this. */
  | { readonly anyway: Json; readonly otherwise: string }
  | { readonly lost: string };

const MIXER = 'there is no Mixer to ask; policies and telemetry are configured by kinds of their own';
const FEDERATION = 'networks are told by labels and gateways by chart gateway with networkGateway';

/** Whatever it is, nothing has to be set today; or it is read where objects are made. */
const HAPPENS_ANYWAY: Rule = { by: () => ({}) };

/** Values by path; a path stands for everything below it. */
const RULES: Readonly<Record<string, Rule>> = {
  'global.remotePilotAddress': { to: 'global.remotePilotAddress' },
  'global.remotePilotCreateSvcEndpoint': HAPPENS_ANYWAY,
  'global.createRemoteSvcEndpoints': HAPPENS_ANYWAY,
  'global.controlPlaneSecurityEnabled': {
    anyway: true,
    otherwise: 'proxies reach the control plane over TLS and with an identity, always',
  },
  'global.mtls.enabled': HAPPENS_ANYWAY,
  'global.remotePolicyAddress': { lost: MIXER },
  'global.remoteTelemetryAddress': { lost: MIXER },
  'global.policyCheckFailOpen': { lost: MIXER },
  'global.disablePolicyChecks': { anyway: true, otherwise: MIXER },
  'global.remoteZipkinAddress': {
    by: (address) => ({ meshConfig: { defaultConfig: { zipkinAddress: `${String(address)}:9411` } } }),
  },
  // The plugged-in CA of Secret cacerts is used where there is one.
  'security.selfSigned': HAPPENS_ANYWAY,
  'global.proxy.includeIPRanges': { to: 'global.proxy.includeIPRanges' },
  'global.proxy.excludeIPRanges': { to: 'global.proxy.excludeIPRanges' },
  'global.proxy.includeInboundPorts': { to: 'global.proxy.includeInboundPorts' },
  'global.proxy.excludeInboundPorts': { to: 'global.proxy.excludeInboundPorts' },
  'global.proxy.excludeOutboundPorts': { to: 'global.proxy.excludeOutboundPorts' },
  'global.proxy.autoInject': { to: 'global.proxy.autoInject' },
  'global.proxy.clusterDomain': { to: 'global.proxy.clusterDomain' },
  'global.proxy.logLevel': { to: 'global.proxy.logLevel' },
  'global.proxy.componentLogLevel': { to: 'global.proxy.componentLogLevel' },
  'global.proxy.resources': { to: 'global.proxy.resources' },
  'global.proxy.statusPort': { to: 'global.proxy.statusPort' },
  'global.proxy.accessLogFile': { to: 'meshConfig.accessLogFile' },
  'global.proxy.accessLogFormat': { to: 'meshConfig.accessLogFormat' },
  'global.proxy.accessLogEncoding': { to: 'meshConfig.accessLogEncoding' },
  'global.proxy.envoyStatsd': { lost: 'proxies are scraped by Prometheus; there is no statsd' },
  'global.trustDomain': { to: 'meshConfig.trustDomain' },
  'global.outboundTrafficPolicy.mode': { to: 'meshConfig.outboundTrafficPolicy.mode' },
  'global.imagePullPolicy': { to: 'global.imagePullPolicy' },
  'global.imagePullSecrets': { to: 'global.imagePullSecrets' },
  'global.priorityClassName': { to: 'global.priorityClassName' },
  'global.defaultPodDisruptionBudget.enabled': { to: 'global.defaultPodDisruptionBudget.enabled' },
  'global.network': { to: 'global.network' },
  'global.multiCluster.clusterName': { to: 'global.multiCluster.clusterName' },
  'global.multiCluster.enabled': HAPPENS_ANYWAY,
  'global.meshNetworks': { lost: FEDERATION },
  'global.meshExpansion': { lost: 'virtual machines reach the control plane through a gateway; see chart gateway' },
  'global.podDNSSearchNamespaces': { lost: 'names ending in .global are not resolved' },
  istiocoredns: { lost: 'names ending in .global are not resolved' },
  'sidecarInjectorWebhook.enabled': {
    anyway: true,
    otherwise: 'the webhook belongs to the control plane; leave namespaces without label instead',
  },
  'sidecarInjectorWebhook.enableNamespacesByDefault': { to: 'sidecarInjectorWebhook.enableNamespacesByDefault' },
  'sidecarInjectorWebhook.rewriteAppHTTPProbe': { to: 'sidecarInjectorWebhook.rewriteAppHTTPProbe' },
  'sidecarInjectorWebhook.neverInjectSelector': { to: 'sidecarInjectorWebhook.neverInjectSelector' },
  'sidecarInjectorWebhook.alwaysInjectSelector': { to: 'sidecarInjectorWebhook.alwaysInjectSelector' },
  'pilot.replicaCount': { to: 'pilot.replicaCount' },
  'pilot.autoscaleEnabled': { to: 'pilot.autoscaleEnabled' },
  'pilot.autoscaleMin': { to: 'pilot.autoscaleMin' },
  'pilot.autoscaleMax': { to: 'pilot.autoscaleMax' },
  'pilot.resources': { to: 'pilot.resources' },
  'pilot.env': { to: 'pilot.env' },
  'pilot.nodeSelector': { to: 'pilot.nodeSelector' },
  'pilot.tolerations': { to: 'pilot.tolerations' },
  'pilot.enabled': HAPPENS_ANYWAY,
  'global.hub': { lost: "Istio's images are not Meltemi's; set global.hub to where yours are" },
  'global.tag': { lost: "Istio's images are not Meltemi's; set global.tag to that of yours" },
  mixer: { lost: MIXER },
  galley: { lost: 'the control plane validates; there is no Galley to install' },
};

/**
 * Translates the values of a chart of Istio 1.0 to 1.4 (`istio-remote`, `istio`).
 *
 * @param legacy What the user has set, not the chart's defaults.
 * @param namespace The control plane's.
 * @see Istio 1.0.9 and 1.1.17, install/kubernetes/helm
 */
export function translateLegacyValues(legacy: JsonMap, namespace: string): TranslatedValues {
  const warnings: string[] = [];
  let values: JsonMap = {};
  const visit = (map: JsonMap, prefix: string): void => {
    for (const [name, json] of Object.entries(map)) {
      const path = prefix === '' ? name : `${prefix}.${name}`;
      const rule = RULES[path];
      if (rule !== undefined) values = overlay(values, apply(rule, { path, json, warnings }));
      else if (isJsonMap(json)) visit(json, path);
      else warnings.push(`${path}: has no equivalent, and is left out`);
    }
  };
  visit(legacy, '');
  return {
    isRemote: isSet(legacy, 'global.remotePilotAddress') || valueAt(legacy, 'pilot.enabled') === false,
    values,
    objects: [...meshWideMtls(legacy, namespace, warnings), ...legacyDiscovery(legacy, namespace)],
    warnings,
  };
}

interface LegacyValue {
  readonly path: string;
  readonly json: Json;
  readonly warnings: string[];
}

function apply(rule: Rule, { path, json, warnings }: LegacyValue): JsonMap {
  if ('to' in rule) return nest(rule.to.split('.'), json);
  if ('by' in rule) return json === '' ? {} : rule.by(json);
  const isFine = 'anyway' in rule ? rule.anyway === json : isOff(json);
  if (!isFine)
    warnings.push(`${path}: has no equivalent, and is left out: ${'lost' in rule ? rule.lost : rule.otherwise}`);
  return {};
}

/** Something that was switched off is not missed. */
function isOff(json: Json): boolean {
  if (isJsonMap(json)) return json['enabled'] === false || Object.keys(json).length === 0;
  return json === '' || json === false || json === null || (Array.isArray(json) && json.length === 0);
}

function isSet(map: JsonMap, path: string): boolean {
  const json = valueAt(map, path);
  return json !== undefined && json !== '' && json !== null;
}

function nest([name = '', ...rest]: readonly string[], json: Json): JsonMap {
  return { [name]: rest.length === 0 ? json : nest(rest, json) };
}
