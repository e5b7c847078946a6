import { parseArgs } from 'node:util';
import { MeltemiError, nearestName } from '@meltemi/base';

interface TextFlag {
  readonly type: 'string';
  readonly short?: string;
  readonly default: string;
  readonly description: string;
  /** Further names of its variable, next to the flag's own name in capitals. */
  readonly env?: readonly string[];
  /** Not given by flag, as with Istio. */
  readonly isEnvOnly?: true;
}
interface SwitchFlag extends Omit<TextFlag, 'type' | 'default'> {
  readonly type: 'boolean';
}

/** Every setting of `istio-iptables` that takes a value. */
const TEXT_FLAGS = {
  'envoy-port': { type: 'string', short: 'p', default: '15001', description: 'port of the outbound listener' },
  'inbound-capture-port': { type: 'string', short: 'z', default: '15006', description: 'port of the inbound listener' },
  'inbound-tunnel-port': {
    type: 'string',
    short: 'e',
    default: '15008',
    description: 'port of tunnelled traffic, not captured',
  },
  'proxy-uid': {
    type: 'string',
    short: 'u',
    default: '1337',
    description: 'user ids of the proxy, comma separated',
  },
  'proxy-gid': {
    type: 'string',
    short: 'g',
    default: '',
    description: 'group ids of the proxy; empty is the user ids',
  },
  'istio-inbound-interception-mode': {
    type: 'string',
    short: 'm',
    default: 'REDIRECT',
    description: 'REDIRECT, or TPROXY, which keeps the source address',
  },
  'istio-inbound-tproxy-mark': { type: 'string', short: 't', default: '1337', description: 'mark of TPROXY' },
  'istio-inbound-tproxy-route-table': {
    type: 'string',
    short: 'r',
    default: '133',
    description: 'route table of TPROXY',
  },
  'istio-inbound-ports': {
    type: 'string',
    short: 'b',
    default: '',
    description: 'inbound ports to capture, * for all',
  },
  'istio-local-exclude-ports': { type: 'string', short: 'd', default: '', description: 'inbound ports to leave alone' },
  'istio-service-cidr': {
    type: 'string',
    short: 'i',
    default: '',
    description: 'outbound CIDRs to capture, * for all',
  },
  'istio-service-exclude-cidr': {
    type: 'string',
    short: 'x',
    default: '',
    description: 'outbound CIDRs to leave alone',
  },
  'istio-outbound-ports': {
    type: 'string',
    short: 'q',
    default: '',
    description: 'outbound ports to capture to any address',
  },
  'istio-local-outbound-ports-exclude': {
    type: 'string',
    short: 'o',
    default: '',
    description: 'outbound ports to leave alone',
  },
  'istio-exclude-interfaces': { type: 'string', short: 'c', default: '', description: 'interfaces to leave alone' },
  'kube-virt-interfaces': {
    type: 'string',
    short: 'k',
    default: '',
    description: 'interfaces whose inbound traffic counts as outbound',
    env: ['ISTIO_REROUTE_VIRTUAL_INTERFACES'],
  },
  'outbound-owner-groups': {
    type: 'string',
    default: '*',
    description: 'groups whose outbound traffic is captured, * for all',
    env: ['ISTIO_OUTBOUND_OWNER_GROUPS'],
    isEnvOnly: true,
  },
  'outbound-owner-groups-exclude': {
    type: 'string',
    default: '',
    description: 'groups whose outbound traffic is left alone',
    env: ['ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE'],
    isEnvOnly: true,
  },
  'outbound-ipv4-loopback-cidr': {
    type: 'string',
    default: '127.0.0.1/32',
    description: 'destinations that count as loopback',
    env: ['ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR'],
    isEnvOnly: true,
  },
  'iptables-probe-port': { type: 'string', default: '15002', description: 'port that the check of the rules dials' },
  'probe-timeout': { type: 'string', default: '5s', description: 'how long the check of the rules may take' },
  'network-namespace': { type: 'string', default: '', description: 'path of the network namespace to work in' },
  'force-iptables-binary': {
    type: 'string',
    default: '',
    description: 'legacy or nft; empty for the one in use',
  },
} as const;

/** Every setting that is on or off. */
const SWITCH_FLAGS = {
  'dry-run': { type: 'boolean', short: 'n', description: 'print the rules, change nothing' },
  'redirect-dns': {
    type: 'boolean',
    description: "send queries to the pod's name servers to the agent",
    env: ['ISTIO_META_DNS_CAPTURE'],
  },
  'capture-all-dns': { type: 'boolean', description: 'with --redirect-dns: queries to any name server' },
  'drop-invalid': { type: 'boolean', description: 'drop packets that belong to no connection', env: ['INVALID_DROP'] },
  'dual-stack': {
    type: 'boolean',
    description: 'rules for IPv6 as soon as the pod has such an address',
    env: ['ISTIO_DUAL_STACK', 'ISTIO_AGENT_DUAL_STACK'],
  },
  'skip-rule-apply': { type: 'boolean', description: 'do not touch the rules' },
  'run-validation': { type: 'boolean', description: 'check that traffic is captured; exit code 126 when it is not' },
  'cni-mode': { type: 'boolean', description: 'work from outside the pod; needs --network-namespace' },
  reconcile: { type: 'boolean', description: 'block traffic while rules that differ are replaced' },
  'cleanup-only': { type: 'boolean', description: 'remove the rules' },
  'force-apply': { type: 'boolean', description: 'apply the rules even when they are in place' },
  'native-nftables': { type: 'boolean', description: 'use nft and tables of our own instead of iptables' },
  help: { type: 'boolean', short: 'h', description: 'print this' },
} as const;

/** Name of a setting that takes a value. */
export type CaptureTextFlag = keyof typeof TEXT_FLAGS;
/** Name of a setting that is on or off. */
export type CaptureSwitch = keyof typeof SWITCH_FLAGS;
/** Every setting, with its value or default. */
export type CaptureFlagValues = Readonly<Record<CaptureTextFlag, string> & Record<CaptureSwitch, boolean>>;

/** Flags that existing manifests pass and that change nothing here. */
const IGNORED_FLAGS: ReadonlySet<string> = new Set(['log_output_level', 'log_as_json', 'restore-format', 'f']);

const FLAGS: Readonly<Record<string, TextFlag | SwitchFlag>> = { ...TEXT_FLAGS, ...SWITCH_FLAGS };

/**
 * Reads command line and environment: a flag wins over its variable, which is its name in capitals with `_`.
 *
 * @throws MeltemiError `USAGE` for a flag that does not exist or a switch that is neither true nor false.
 */
export function readCaptureFlags(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CaptureFlagValues {
  const given = { ...readEnv(env), ...readArguments(args) };
  const text = Object.entries(TEXT_FLAGS).map(([flag, { default: value }]) => [flag, String(given[flag] ?? value)]);
  const switches = Object.keys(SWITCH_FLAGS).map((flag) => [flag, parseSwitch(flag, given[flag] ?? false)]);
  // Both lists have exactly the keys of the tables.
  return Object.fromEntries([...text, ...switches]) as CaptureFlagValues;
}

/** The text of `--help`. */
export function captureUsage(): string {
  const lines = Object.entries(FLAGS).map(([flag, setting]) => {
    const { short, isEnvOnly, description } = setting;
    const name = isEnvOnly ? `    $${setting.env?.[0] ?? ''}` : `${short ? `-${short}, ` : '    '}--${flag}`;
    const value = setting.type === 'string' && setting.default !== '' ? ` (default ${setting.default})` : '';
    return `  ${name.padEnd(44)} ${description}${value}`;
  });
  return [
    'Usage: pilot-agent istio-iptables [flags]',
    '',
    "Sends a pod's TCP traffic through its sidecar. A flag that is not given is read from the variable of its name:",
    '--proxy-uid from PROXY_UID.',
    '',
    ...lines,
    '',
  ].join('\n');
}

function readEnv(env: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const [flag, { env: others = [], isEnvOnly }] of Object.entries(FLAGS)) {
    if (flag === 'help') continue;
    const names = isEnvOnly ? others : [flag.toUpperCase().replaceAll('-', '_'), ...others];
    const value = names.map((name) => env[name]).find((text) => text !== undefined && text !== '');
    if (value !== undefined) values[flag] = value;
  }
  return values;
}

function readArguments(args: readonly string[]): Readonly<Record<string, unknown>> {
  const options = Object.fromEntries(
    Object.entries(FLAGS)
      .filter(([, { isEnvOnly }]) => !isEnvOnly)
      .map(([flag, { short, type }]) => [flag, short === undefined ? { type } : { type, short }]),
  );
  const { values } = parseArgs({ args: args.map(splitSwitchValue), options, strict: false, allowNegative: true });
  const known = Object.keys(options);
  for (const flag of Object.keys(values)) {
    if (known.includes(flag) || IGNORED_FLAGS.has(flag)) continue;
    const near = nearestName(flag, known);
    const dashes = flag.length === 1 ? '-' : '--';
    throw new MeltemiError(
      'USAGE',
      `Unknown flag ${dashes}${flag}${near === undefined ? '' : `; did you mean --${near}?`}`,
    );
  }
  return values;
}

/** `--reconcile=true`, as Go programs take it, is not something that parseArgs gives a switch. */
function splitSwitchValue(argument: string): string {
  const [, flag = '', value] = /^--([a-z-]+)=(true|false|1|0)$/i.exec(argument) ?? [];
  if (!(flag in SWITCH_FLAGS)) return argument;
  return /^(true|1)$/i.test(value ?? '') ? `--${flag}` : `--no-${flag}`;
}

function parseSwitch(flag: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  if (/^(true|1|t)$/i.test(String(value))) return true;
  if (/^(false|0|f)$/i.test(String(value))) return false;
  throw new MeltemiError('USAGE', `Cannot read ${flag}: "${String(value)}" was given; it is true or false`);
}
