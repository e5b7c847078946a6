import { availableParallelism } from 'node:os';
import { MeltemiError, type OptionTable, type OptionValues, parseOptions } from '@meltemi/base';
import type { ProxySettings } from './settings.ts';

/** Envoy's command line, as far as agents and operators use it, and the two settings that are ours. */
const PROXY_OPTIONS = {
  configPath: {
    flag: 'config-path',
    type: 'string',
    description: 'Bootstrap file: .json, .yaml, .yml or .pb (also -c)',
  },
  configYaml: { flag: 'config-yaml', type: 'string', description: 'JSON or YAML merged over the file' },
  mode: { flag: 'mode', type: 'string', default: 'serve', description: 'serve, validate or init_only' },
  concurrency: {
    flag: 'concurrency',
    type: 'number',
    description: 'Worker threads; 0 means 1; default: hardware threads',
  },
  cpusetThreads: {
    flag: 'cpuset-threads',
    type: 'boolean',
    default: 'false',
    description: 'Accepted: threads follow the affinity mask anyway',
  },
  logLevel: {
    flag: 'log-level',
    type: 'string',
    default: 'info',
    description: 'trace, debug, info, warning, error, critical or off (also -l)',
  },
  componentLogLevel: { flag: 'component-log-level', type: 'string', description: 'scope:level,…' },
  logPath: { flag: 'log-path', type: 'string', description: 'File instead of standard error' },
  logFormat: { flag: 'log-format', type: 'string', description: 'Accepted; lines have one format' },
  logFormatEscaped: { flag: 'log-format-escaped', type: 'boolean', default: 'false', description: 'Accepted' },
  restartEpoch: { flag: 'restart-epoch', type: 'number', default: '0', description: 'Shown in /server_info' },
  baseId: { flag: 'base-id', type: 'number', default: '0', description: 'Accepted' },
  useDynamicBaseId: { flag: 'use-dynamic-base-id', type: 'boolean', default: 'false', description: 'Accepted' },
  baseIdPath: { flag: 'base-id-path', type: 'string', description: 'Accepted' },
  socketPath: { flag: 'socket-path', type: 'string', description: 'Accepted' },
  socketMode: { flag: 'socket-mode', type: 'string', description: 'Accepted' },
  drainTimeS: {
    flag: 'drain-time-s',
    type: 'number',
    default: '600',
    description: 'Seconds in which connections are shed',
  },
  drainStrategy: { flag: 'drain-strategy', type: 'string', default: 'gradual', description: 'gradual or immediate' },
  parentShutdownTimeS: { flag: 'parent-shutdown-time-s', type: 'number', default: '900', description: 'Accepted' },
  disableHotRestart: { flag: 'disable-hot-restart', type: 'boolean', default: 'false', description: 'Accepted' },
  skipHotRestartOnNoParent: {
    flag: 'skip-hot-restart-on-no-parent',
    type: 'boolean',
    default: 'false',
    description: 'Accepted',
  },
  skipHotRestartParentStats: {
    flag: 'skip-hot-restart-parent-stats',
    type: 'boolean',
    default: 'false',
    description: 'Accepted',
  },
  serviceCluster: { flag: 'service-cluster', type: 'string', description: 'Replaces node.cluster' },
  serviceNode: { flag: 'service-node', type: 'string', description: 'Replaces node.id' },
  serviceZone: { flag: 'service-zone', type: 'string', description: 'Replaces node.locality.zone' },
  allowUnknownStaticFields: {
    flag: 'allow-unknown-static-fields',
    type: 'boolean',
    default: 'false',
    description: 'Unknown bootstrap fields warn instead of failing',
  },
  allowUnknownFields: {
    flag: 'allow-unknown-fields',
    type: 'boolean',
    default: 'false',
    description: 'The older name of it',
  },
  rejectUnknownDynamicFields: {
    flag: 'reject-unknown-dynamic-fields',
    type: 'boolean',
    default: 'false',
    description: 'Accepted; unknown fields of resources are ignored',
  },
  ignoreUnknownDynamicFields: {
    flag: 'ignore-unknown-dynamic-fields',
    type: 'boolean',
    default: 'false',
    description: 'Accepted; unknown fields of resources are ignored',
  },
  adminAddressPath: { flag: 'admin-address-path', type: 'string', description: 'File that is given the bound ip:port' },
  localAddressIpVersion: { flag: 'local-address-ip-version', type: 'string', default: 'v4', description: 'v4 or v6' },
  fileFlushIntervalMs: {
    flag: 'file-flush-interval-msec',
    type: 'number',
    default: '10000',
    description: 'Milliseconds between writes of access logs',
  },
  fileFlushMinSizeKb: { flag: 'file-flush-min-size-kb', type: 'number', default: '64', description: 'Accepted' },
  disableExtensions: { flag: 'disable-extensions', type: 'string', description: 'Accepted' },
  statsTag: { flag: 'stats-tag', type: 'string', description: 'Accepted' },
  enableMutexTracing: { flag: 'enable-mutex-tracing', type: 'boolean', default: 'false', description: 'Accepted' },
  enableFineGrainLogging: {
    flag: 'enable-fine-grain-logging',
    type: 'boolean',
    default: 'false',
    description: 'Accepted',
  },
  enableCoreDump: { flag: 'enable-core-dump', type: 'boolean', default: 'false', description: 'Accepted' },
  skipDeprecatedLogs: { flag: 'skip-deprecated-logs', type: 'boolean', default: 'false', description: 'Accepted' },
  bootstrapVersion: { flag: 'bootstrap-version', type: 'number', description: 'Accepted: 3' },
  maxObjNameLen: { flag: 'max-obj-name-len', type: 'number', description: 'Accepted' },
  hotRestartVersion: {
    flag: 'hot-restart-version',
    type: 'boolean',
    default: 'false',
    description: 'Print "disabled" and exit',
  },
  version: { flag: 'version', type: 'boolean', default: 'false', description: 'Print the version and exit' },
  help: { flag: 'help', type: 'boolean', default: 'false', description: 'Print this text and exit (also -h)' },
  upstreamMark: {
    flag: 'upstream-mark',
    env: 'MELTEMI_SO_MARK',
    type: 'number',
    description: 'SO_MARK of upstream sockets, by which capture rules know them; wins over the bootstrap',
  },
} as const satisfies OptionTable;

/** Envoy's short flags. */
const SHORT_FLAGS: Readonly<Record<string, string>> = { '-c': '--config-path', '-l': '--log-level', '-h': '--help' };

/** Spells short flags out; values are left alone. */
function expandShortFlags(args: readonly string[]): string[] {
  return args.map((arg) => SHORT_FLAGS[arg] ?? arg);
}

type Values = OptionValues<typeof PROXY_OPTIONS>;

/** The command line of the proxy, read. */
export interface ProxyCommandLine {
  readonly action: 'serve' | 'validate' | 'help' | 'version' | 'hot_restart_version';
  readonly configPath: string | undefined;
  readonly configYaml: string | undefined;
  readonly allowUnknownFields: boolean;
  /** An Envoy level name. */
  readonly logLevel: string;
  /** `scope:level` pairs. */
  readonly componentLogLevels: readonly string[];
  readonly logPath: string | undefined;
  readonly settings: ProxySettings;
}

/** The flags, one a line. */
export function proxyHelpText(): string {
  const lines = Object.values(PROXY_OPTIONS).map(
    (spec) => `  --${spec.flag}${'default' in spec ? ` (${spec.default})` : ''}: ${spec.description}\n`,
  );
  return `usage: meltemi proxy -c bootstrap.json [flags]\n\n${lines.join('')}`;
}

function actionOf(values: Values): ProxyCommandLine['action'] {
  if (values.help) return 'help';
  if (values.version) return 'version';
  if (values.hotRestartVersion) return 'hot_restart_version';
  if (values.mode === 'serve' || values.mode === 'validate') return values.mode;
  throw new MeltemiError('USAGE', `--mode is "${values.mode}"; serve or validate is needed`);
}

/**
 * Reads the command line; every flag of Envoy that Istio's agent passes is accepted.
 *
 * @throws MeltemiError `USAGE` for an unknown flag or value.
 */
export function parseProxyCommandLine(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ProxyCommandLine {
  const { values } = parseOptions(PROXY_OPTIONS, expandShortFlags(args), env);
  return {
    action: actionOf(values),
    configPath: values.configPath,
    configYaml: values.configYaml,
    allowUnknownFields: values.allowUnknownStaticFields || values.allowUnknownFields,
    logLevel: values.logLevel,
    componentLogLevels: (values.componentLogLevel ?? '').split(',').filter((pair) => pair !== ''),
    logPath: values.logPath,
    settings: toProxySettings(values),
  };
}

function toProxySettings(values: Values): ProxySettings {
  const { drainStrategy } = values;
  if (drainStrategy !== 'gradual' && drainStrategy !== 'immediate') {
    throw new MeltemiError('USAGE', `--drain-strategy is "${drainStrategy}"; gradual or immediate is needed`);
  }
  const concurrency = Math.max(1, values.concurrency ?? availableParallelism());
  return {
    concurrency,
    drainTimeMs: values.drainTimeS * 1000,
    drainStrategy,
    fileFlushIntervalMs: values.fileFlushIntervalMs,
    nodeOverrides: { id: values.serviceNode, cluster: values.serviceCluster, zone: values.serviceZone },
    adminAddressPath: values.adminAddressPath,
    upstreamMark: values.upstreamMark,
    restartEpoch: values.restartEpoch,
    unknownFieldCount: 0,
    commandLine: {
      config_path: values.configPath ?? '',
      concurrency,
      drain_time: `${values.drainTimeS}s`,
      drain_strategy: drainStrategy === 'gradual' ? 'Gradual' : 'Immediate',
      restart_epoch: values.restartEpoch,
      log_level: values.logLevel,
      mode: values.mode === 'validate' ? 'Validate' : 'Serve',
      local_address_ip_version: values.localAddressIpVersion,
      allow_unknown_static_fields: values.allowUnknownStaticFields || values.allowUnknownFields,
      disable_hot_restart: values.disableHotRestart,
      service_cluster: values.serviceCluster ?? '',
      service_node: values.serviceNode ?? '',
    },
  };
}
