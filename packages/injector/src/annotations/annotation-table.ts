import { PROXY_CONFIG_ANNOTATION } from './proxy-config-annotation.ts';
import {
  agentLevels,
  anything,
  componentLevels,
  duration,
  flag,
  flushInterval,
  histogramBins,
  histogramBuckets,
  hostAndPort,
  interfaces,
  namedObjects,
  notEmpty,
  objectName,
  oneOf,
  port,
  ports,
  portsOrAll,
  proxyLevel,
  quantity,
  ranges,
  rangesOrAll,
  regexps,
  scrapeTargets,
  templateNames,
  type ValueCheck,
  volumeMounts,
  wholeNumber,
} from './value-checks.ts';

/** What injection knows about one annotation or label. */
export interface AnnotationRule {
  readonly check: ValueCheck;
  /** What the value is, for people. */
  readonly values: string;
  /** What it does to the pod, for people; for those that injection writes, what they say. */
  readonly effect: string;
  /** What counts without it. Absent: nothing, or a setting that `effect` names. */
  readonly fallback?: string;
  /** What to write instead. */
  readonly deprecated?: string;
  /** Why the annotation changes nothing yet: pods that have it are admitted with a warning. */
  readonly unimplemented?: string;
  /** Why it changes nothing where Meltemi's own proxy runs: pods that have it are admitted with a warning. */
  readonly onlyEnvoy?: string;
}

const NUMBER = 'whole number';
const FLAG = '`true` or `false`';
const QUANTITY = 'quantity';

/** Annotations about what traffic goes through the sidecar. */
const TRAFFIC: Readonly<Record<string, AnnotationRule>> = {
  'traffic.sidecar.istio.io/includeOutboundIPRanges': {
    check: rangesOrAll,
    values: 'IP ranges, or `*`',
    effect: 'Outbound traffic to these ranges is captured; empty captures none.',
    fallback: '`*`',
  },
  'traffic.sidecar.istio.io/excludeOutboundIPRanges': {
    check: ranges,
    values: 'IP ranges',
    effect: 'Outbound traffic to these ranges is not captured.',
  },
  'traffic.sidecar.istio.io/includeOutboundPorts': {
    check: ports,
    values: 'ports',
    effect: 'Outbound traffic to these ports is captured, whatever its address.',
  },
  'traffic.sidecar.istio.io/excludeOutboundPorts': {
    check: ports,
    values: 'ports',
    effect: 'Outbound traffic to these ports is not captured.',
  },
  'traffic.sidecar.istio.io/includeInboundPorts': {
    check: portsOrAll,
    values: 'ports, or `*`',
    effect: 'Inbound traffic to these ports is captured; empty captures none.',
    fallback: '`*`',
  },
  'traffic.sidecar.istio.io/excludeInboundPorts': {
    check: ports,
    values: 'ports',
    effect: 'Inbound traffic to these ports is not captured.',
  },
  'traffic.sidecar.istio.io/excludeInterfaces': {
    check: interfaces,
    values: 'interface names',
    effect: 'Traffic of these interfaces is not captured.',
  },
  'traffic.sidecar.istio.io/kubevirtInterfaces': {
    check: interfaces,
    values: 'interface names',
    effect: 'Traffic that comes in by these interfaces of virtual machines counts as outbound.',
    deprecated: 'istio.io/reroute-virtual-interfaces',
  },
  'istio.io/reroute-virtual-interfaces': {
    check: interfaces,
    values: 'interface names',
    effect: 'Traffic that comes in by these interfaces of virtual machines counts as outbound.',
  },
  'sidecar.istio.io/interceptionMode': {
    check: oneOf('REDIRECT', 'TPROXY', 'NONE'),
    values: '`REDIRECT`, `TPROXY` or `NONE`',
    effect:
      'How inbound traffic is captured. `TPROXY` keeps the source address and needs a privileged sidecar; `NONE` captures nothing.',
    fallback: 'ProxyConfig `interceptionMode`',
  },
};

/** Annotations about the sidecar's container. */
const PROXY: Readonly<Record<string, AnnotationRule>> = {
  'sidecar.istio.io/inject': {
    check: anything,
    values: FLAG,
    effect: 'Whether the pod gets a sidecar.',
    deprecated: 'the label of the same name',
  },
  'sidecar.istio.io/proxyImage': {
    check: notEmpty,
    values: 'image',
    effect: "The sidecar's and the init container's image.",
    fallback: 'value `global.proxy.image`',
  },
  'sidecar.istio.io/proxyImageType': {
    check: oneOf('default', 'debug', 'distroless'),
    values: '`default`, `debug` or `distroless`',
    effect: "The variant of the image, which ends the image's tag.",
    fallback: 'ProxyConfig `image.imageType`',
  },
  'sidecar.istio.io/proxyCPU': {
    check: quantity,
    values: QUANTITY,
    effect:
      "The sidecar's CPU request. Any of the four resource annotations replaces the configured resources as a whole.",
  },
  'sidecar.istio.io/proxyCPULimit': { check: quantity, values: QUANTITY, effect: "The sidecar's CPU limit." },
  'sidecar.istio.io/proxyMemory': { check: quantity, values: QUANTITY, effect: "The sidecar's memory request." },
  'sidecar.istio.io/proxyMemoryLimit': { check: quantity, values: QUANTITY, effect: "The sidecar's memory limit." },
  'sidecar.istio.io/logLevel': {
    check: proxyLevel,
    values: 'level',
    effect: "The proxy's log level.",
    fallback: '`warning`',
  },
  'sidecar.istio.io/componentLogLevel': {
    check: componentLevels,
    values: '`component:level`, …',
    effect: "Log levels of the proxy's components.",
    fallback: '`misc:error`',
  },
  'sidecar.istio.io/agentLogLevel': {
    check: agentLevels,
    values: '`scope:level`, …',
    effect: "The agent's log level, as argument `--log_output_level` of both containers.",
    fallback: '`default:info`',
  },
  'sidecar.istio.io/bootstrapOverride': {
    check: objectName,
    values: 'name of a ConfigMap',
    effect: 'Mounts the ConfigMap, whose key `custom_bootstrap.json` is merged into the bootstrap.',
  },
  'sidecar.istio.io/discoveryAddress': {
    check: hostAndPort,
    values: 'host:port',
    effect: "The control plane's address.",
    deprecated: '`discoveryAddress` in proxy.istio.io/config',
  },
  'sidecar.istio.io/userVolume': {
    check: namedObjects,
    values: 'JSON: volumes by name',
    effect: 'Adds volumes to the pod.',
  },
  'sidecar.istio.io/userVolumeMount': {
    check: volumeMounts,
    values: 'JSON: mounts by volume',
    effect: 'Mounts volumes of the pod in the sidecar.',
  },
  'sidecar.istio.io/capNetBindService': {
    check: flag,
    values: FLAG,
    effect: 'Lets the sidecar listen on ports below 1024: it runs as root with `NET_BIND_SERVICE`.',
    fallback: '`false`',
  },
  'sidecar.istio.io/nativeSidecar': {
    check: flag,
    values: FLAG,
    effect: 'Whether the sidecar is an init container that keeps running, which needs Kubernetes 1.28 or newer.',
  },
  'sidecar.istio.io/rewriteAppHTTPProbers': {
    check: flag,
    values: FLAG,
    effect: "Whether probes of the pod's containers go through the agent.",
    fallback: 'value `sidecarInjectorWebhook.rewriteAppHTTPProbe`',
  },
};

/** Annotations about what the proxy counts. */
const STATISTICS: Readonly<Record<string, AnnotationRule>> = {
  'sidecar.istio.io/statsInclusionPrefixes': {
    check: notEmpty,
    values: 'prefixes',
    effect:
      'Keeps statistics whose name begins so, besides those that are always kept. `{pod_ip}` is an address of the pod.',
    fallback: 'ProxyConfig `proxyStatsMatcher.inclusionPrefixes`',
  },
  'sidecar.istio.io/statsInclusionSuffixes': {
    check: notEmpty,
    values: 'suffixes',
    effect: 'Keeps statistics whose name ends so.',
    fallback: 'ProxyConfig `proxyStatsMatcher.inclusionSuffixes`',
  },
  'sidecar.istio.io/statsInclusionRegexps': {
    check: regexps,
    values: 'patterns of RE2, without commas',
    effect: 'Keeps statistics whose whole name matches.',
    fallback: 'ProxyConfig `proxyStatsMatcher.inclusionRegexps`',
  },
  'sidecar.istio.io/statsHistogramBuckets': {
    check: histogramBuckets,
    values: 'JSON: upper bounds by prefix',
    effect: "The buckets of histograms; the names of Istio's own begin with `istiocustom`.",
    fallback: "Envoy's, from 0.5 to 3600000",
  },
  'sidecar.istio.io/statsHistogramBins': {
    check: histogramBins,
    values: 'JSON: number of bins by prefix',
    effect: 'How much memory a histogram of Envoy begins with.',
    fallback: '100',
    onlyEnvoy: "histograms of Meltemi's own proxy have a fixed size",
  },
  'sidecar.istio.io/statsFlushInterval': {
    check: flushInterval,
    values: 'duration below 5m',
    effect: 'How often Envoy brings the histograms that it shows up to date.',
    fallback: '5s',
    onlyEnvoy: "Meltemi's own proxy shows statistics as they are when they are asked for",
  },
  'sidecar.istio.io/statsEvictionInterval': {
    check: duration,
    values: 'duration, a multiple of the flush interval',
    effect: "Metrics of Istio's filters that did not change in so long a time are dropped.",
    fallback: 'never',
  },
  'sidecar.istio.io/statsCompression': {
    check: oneOf('gzip', 'brotli', 'br', 'zstd', 'true', 'false'),
    values: '`gzip`, `brotli`, `zstd`, `true` or `false`',
    effect: 'How metrics on port 15090 may be compressed, if who scrapes them asks for it; `true` is all three.',
    fallback: 'ProxyConfig `statsCompression`, which is `true` unless set',
  },
  'sidecar.istio.io/extraStatTags': {
    check: notEmpty,
    values: 'tag names',
    effect:
      'Parts `name=.=value;.;` of names of statistics, as plugins write them, become labels. Added to those of ProxyConfig `extraStatTags`.',
  },
};

/** Annotations about health checks and metrics. */
const STATUS: Readonly<Record<string, AnnotationRule>> = {
  'status.sidecar.istio.io/port': {
    check: port,
    values: 'port, or 0',
    effect:
      "The agent's status port. 0 takes away the sidecar's probes, the rewriting of probes and the merged metrics.",
    fallback: '15020',
  },
  'readiness.status.sidecar.istio.io/initialDelaySeconds': {
    check: wholeNumber,
    values: NUMBER,
    effect: "When the sidecar's readiness is first asked for.",
    fallback: '0',
  },
  'readiness.status.sidecar.istio.io/periodSeconds': {
    check: wholeNumber,
    values: NUMBER,
    effect: "How often the sidecar's readiness is asked for.",
    fallback: '15',
  },
  'readiness.status.sidecar.istio.io/failureThreshold': {
    check: wholeNumber,
    values: NUMBER,
    effect: 'After how many failures the sidecar counts as not ready.',
    fallback: '4',
  },
  'readiness.status.sidecar.istio.io/applicationPorts': {
    check: ports,
    values: 'ports',
    effect: "Accepted and unused, as in Istio: the sidecar's readiness does not depend on the application's ports.",
  },
  'prometheus.istio.io/merge-metrics': {
    check: flag,
    values: FLAG,
    effect: "Whether one scrape of the agent returns the proxy's and the application's metrics.",
    fallback: 'MeshConfig `enablePrometheusMerge`',
  },
  'prometheus.istio.io/scrape-targets': {
    check: scrapeTargets,
    values: '`port:path`, …',
    effect: 'Pages of metrics of the application, which are merged in this order.',
  },
};

/** Everything else that is read. */
const OTHER: Readonly<Record<string, AnnotationRule>> = {
  [PROXY_CONFIG_ANNOTATION]: {
    // `readAnnotations` parses it, and gives what it says along with what is wrong.
    check: anything,
    values: 'YAML of a ProxyConfig',
    effect: 'Fields replace those of MeshConfig `defaultConfig`; `proxyMetadata` is merged.',
  },
  'inject.istio.io/templates': {
    check: templateNames,
    values: 'names of templates',
    effect: 'The templates that make the pod, in order.',
    fallback: '`defaultTemplates` of the injector, otherwise `sidecar`',
  },
  'ambient.istio.io/redirection': {
    check: anything,
    values: '`enabled` or `disabled`',
    effect: 'Whether a node proxy captures the pod.',
    unimplemented: 'there is no node proxy',
  },
  'ambient.istio.io/bypass-inbound-capture': {
    check: flag,
    values: FLAG,
    effect: 'Keeps a node proxy from capturing inbound traffic.',
    unimplemented: 'there is no node proxy',
  },
  'ambient.istio.io/dns-capture': {
    check: flag,
    values: FLAG,
    effect: 'Whether a node proxy answers name lookups.',
    unimplemented: 'there is no node proxy',
  },
};

/** Annotations that users may set, by name. */
export const READ_ANNOTATIONS: Readonly<Record<string, AnnotationRule>> = {
  ...TRAFFIC,
  ...PROXY,
  ...STATISTICS,
  ...STATUS,
  ...OTHER,
};

/** Annotations that injection writes, by name, with what they say. */
export const WRITTEN_ANNOTATIONS: Readonly<Record<string, string>> = {
  'sidecar.istio.io/status': 'JSON: what injection added, by which it can be taken out again.',
  'proxy.istio.io/overrides': 'JSON: containers of the pod that were merged over those of a template.',
  'istio.io/rev': 'The revision of the control plane that injected the pod.',
  'kubectl.kubernetes.io/default-container': "The pod's first container, unless the pod says otherwise.",
  'kubectl.kubernetes.io/default-logs-container': "The pod's first container, unless the pod says otherwise.",
  'prometheus.io/scrape': '`true`, when metrics are merged.',
  'prometheus.io/port': "The agent's status port, when metrics are merged.",
  'prometheus.io/path': '`/stats/prometheus`, when metrics are merged.',
};

/** Labels that injection reads or writes, by name. */
export const LABELS: Readonly<Record<string, string>> = {
  'sidecar.istio.io/inject': 'Read: `true` asks for a sidecar, `false` refuses it.',
  'istio.io/rev': 'Read: the revision that injects the pod.',
  'security.istio.io/tlsMode': 'Written: `istio`, unless the pod says otherwise.',
  'service.istio.io/canonical-name':
    'Written, unless set: the label `app.kubernetes.io/name`, otherwise `app`, otherwise the name of the workload.',
  'service.istio.io/canonical-revision':
    'Written, unless set: the label `app.kubernetes.io/version`, otherwise `version`, otherwise `latest`.',
};
