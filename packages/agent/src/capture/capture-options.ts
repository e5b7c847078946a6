import { isIP, isIPv6 } from 'node:net';
import { MeltemiError } from '@meltemi/base';

/** What traffic of a pod goes through its sidecar. */
export interface CaptureOptions {
  /** Port of the outbound listener. */
  readonly outboundPort: number;
  /** Port of the inbound listener. */
  readonly inboundPort: number;
  /** Port of tunnelled traffic, which is never captured. */
  readonly tunnelPort: number;
  /** How the sidecar's own traffic is told apart. */
  readonly owner: TrafficOwner;
  /** Inbound ports to capture: `*`, a list, or none. */
  readonly inboundPorts: PortSelection;
  readonly excludedInboundPorts: readonly number[];
  /** Destinations to capture: `*` or CIDRs; empty captures none. */
  readonly outboundCidrs: '*' | readonly string[];
  readonly excludedOutboundCidrs: readonly string[];
  /** Ports captured whatever their destination. */
  readonly outboundPorts: readonly number[];
  readonly excludedOutboundPorts: readonly number[];
  readonly excludedInterfaces: readonly string[];
}

/** `*` is every port but the excluded ones. */
export type PortSelection = '*' | readonly number[];

/** By user and group id, or, where those are not mapped, by the mark that the sidecar sets on its sockets. */
export type TrafficOwner =
  | { readonly kind: 'ids'; readonly uids: readonly number[]; readonly gids: readonly number[] }
  | {
      readonly kind: 'mark';
      readonly mark: number;
      /** Addresses of the control plane: its connections are made by a library that cannot mark them. */
      readonly discoveryAddresses: readonly string[];
      readonly discoveryPort: number;
    };

/** The flags of `istio-iptables`, by their long names; values as text. */
export const CAPTURE_FLAGS = {
  'envoy-port': { short: 'p', type: 'string', default: '15001', description: 'port of the outbound listener' },
  'inbound-capture-port': { short: 'z', type: 'string', default: '15006', description: 'port of the inbound listener' },
  'inbound-tunnel-port': {
    short: 'e',
    type: 'string',
    default: '15008',
    description: 'port of tunnelled traffic, not captured',
  },
  'proxy-uid': { short: 'u', type: 'string', default: '1337', description: 'user ids of the proxy, comma separated' },
  'proxy-gid': {
    short: 'g',
    type: 'string',
    default: '',
    description: 'group ids of the proxy; empty is the user ids',
  },
  'istio-inbound-interception-mode': { short: 'm', type: 'string', default: 'REDIRECT', description: 'REDIRECT' },
  'istio-inbound-ports': {
    short: 'b',
    type: 'string',
    default: '',
    description: 'inbound ports to capture, * for all',
  },
  'istio-local-exclude-ports': { short: 'd', type: 'string', default: '', description: 'inbound ports to leave alone' },
  'istio-service-cidr': {
    short: 'i',
    type: 'string',
    default: '',
    description: 'outbound CIDRs to capture, * for all',
  },
  'istio-service-exclude-cidr': {
    short: 'x',
    type: 'string',
    default: '',
    description: 'outbound CIDRs to leave alone',
  },
  'istio-outbound-ports': {
    short: 'q',
    type: 'string',
    default: '',
    description: 'outbound ports to capture to any address',
  },
  'istio-local-outbound-ports-exclude': {
    short: 'o',
    type: 'string',
    default: '',
    description: 'outbound ports to leave alone',
  },
  'istio-exclude-interfaces': { short: 'c', type: 'string', default: '', description: 'interfaces to leave alone' },
  'dry-run': { short: 'n', type: 'boolean', default: false, description: 'print the rules, change nothing' },
  help: { short: 'h', type: 'boolean', default: false, description: 'print this' },
} as const;

/** Flag values as `node:util` parseArgs returns them. */
export type CaptureFlagValues = Readonly<Partial<Record<keyof typeof CAPTURE_FLAGS, string | boolean>>>;

/**
 * Reads flag values. How the sidecar's traffic is told apart is not a flag: see {@link TrafficOwner}.
 *
 * @throws MeltemiError `CAPTURE_INVALID`, naming the flag and what it takes.
 */
export function parseCaptureOptions(flags: CaptureFlagValues, owner?: TrafficOwner): CaptureOptions {
  const text = (flag: keyof typeof CAPTURE_FLAGS): string => String(flags[flag] ?? CAPTURE_FLAGS[flag].default);
  const mode = text('istio-inbound-interception-mode');
  if (mode !== 'REDIRECT') {
    throw invalid('istio-inbound-interception-mode', mode, 'REDIRECT is the only mode this version applies');
  }
  const uids = parseIds('proxy-uid', text('proxy-uid'));
  const gids = text('proxy-gid') === '' ? uids : parseIds('proxy-gid', text('proxy-gid'));
  return {
    outboundPort: parsePort('envoy-port', text('envoy-port')),
    inboundPort: parsePort('inbound-capture-port', text('inbound-capture-port')),
    tunnelPort: parsePort('inbound-tunnel-port', text('inbound-tunnel-port')),
    owner: owner ?? { kind: 'ids', uids, gids },
    inboundPorts:
      text('istio-inbound-ports') === '*' ? '*' : parsePorts('istio-inbound-ports', text('istio-inbound-ports')),
    excludedInboundPorts: parsePorts('istio-local-exclude-ports', text('istio-local-exclude-ports')),
    outboundCidrs:
      text('istio-service-cidr') === '*' ? '*' : parseCidrs('istio-service-cidr', text('istio-service-cidr')),
    excludedOutboundCidrs: parseCidrs('istio-service-exclude-cidr', text('istio-service-exclude-cidr')),
    outboundPorts: parsePorts('istio-outbound-ports', text('istio-outbound-ports')),
    excludedOutboundPorts: parsePorts('istio-local-outbound-ports-exclude', text('istio-local-outbound-ports-exclude')),
    excludedInterfaces: parseInterfaces('istio-exclude-interfaces', text('istio-exclude-interfaces')),
  };
}

function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function invalid(flag: string, value: string, remedy: string): MeltemiError {
  return new MeltemiError('CAPTURE_INVALID', `Cannot read --${flag}: "${value}" was given; ${remedy}`);
}

function parsePort(flag: string, text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) throw invalid(flag, text, 'a port is a number from 1 to 65535');
  return port;
}

function parsePorts(flag: string, text: string): readonly number[] {
  return splitList(text).map((port) => parsePort(flag, port));
}

function parseIds(flag: string, text: string): readonly number[] {
  return splitList(text).map((id) => {
    if (!/^\d+$/.test(id)) throw invalid(flag, text, 'an id is a number');
    return Number(id);
  });
}

/** IPv6 ranges are valid and left out: they have no place in a table of IPv4 rules. */
function parseCidrs(flag: string, text: string): readonly string[] {
  return splitList(text).flatMap((cidr) => {
    const [address = '', length, ...rest] = cidr.split('/');
    const maxLength = isIPv6(address) ? 128 : 32;
    const isLength = length === undefined || (/^\d+$/.test(length) && Number(length) <= maxLength);
    if (isIP(address) === 0 || !isLength || rest.length > 0) {
      throw invalid(flag, cidr, 'a range is an address with a prefix length, such as 10.0.0.0/8');
    }
    return isIPv6(address) ? [] : [`${address}/${length ?? maxLength}`];
  });
}

function parseInterfaces(flag: string, text: string): readonly string[] {
  return splitList(text).map((name) => {
    // What iptables itself accepts as an interface name; anything else could end the rule and begin another.
    if (!/^[a-zA-Z0-9_.@-]{1,15}\+?$/.test(name))
      throw invalid(flag, name, 'an interface name has at most 15 characters');
    return name;
  });
}
