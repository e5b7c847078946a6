import { isIP, isIPv6 } from 'node:net';
import { MeltemiError, parseDurationMs } from '@meltemi/base';
import type { CaptureFlagValues, CaptureTextFlag } from './capture-flags.ts';
import type { IpFamily } from './rule-model.ts';

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
  /** How inbound connections reach the sidecar: with their addresses rewritten, or as they are. */
  readonly mode: 'REDIRECT' | 'TPROXY';
  readonly tproxyMark: number;
  readonly tproxyRouteTable: number;
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
  /** Interfaces, of virtual machines say, from which everything counts as outbound. */
  readonly virtualInterfaces: readonly string[];
  readonly ownerGroups: OwnerGroups;
  /** Destination that counts as IPv4 loopback. */
  readonly ipv4LoopbackCidr: string;
  /** Which name servers' queries go to the agent: `*`, those addresses, or none. */
  readonly dnsServers: '*' | readonly string[];
  /** Drops packets that belong to no connection, rather than answering them with a reset. */
  readonly dropsInvalid: boolean;
  readonly families: readonly IpFamily[];
}

/** `*` is every port but the excluded ones. */
export type PortSelection = '*' | readonly number[];

/** Whose outbound traffic is captured, by group: everybody's but some groups', or only some groups'. */
export type OwnerGroups =
  | { readonly kind: 'except'; readonly groups: readonly string[] }
  | { readonly kind: 'only'; readonly groups: readonly string[] };

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

/** What options are read from. */
export interface CaptureInput {
  readonly flags: CaptureFlagValues;
  /** `undefined` for the ids of the flags; see {@link TrafficOwner}. */
  readonly owner?: TrafficOwner | undefined;
  /** Name servers of the pod. Default: none. */
  readonly nameServers?: readonly string[];
  /** Default: IPv4 alone. */
  readonly families?: readonly IpFamily[];
}

/**
 * Reads flag values.
 *
 * @throws MeltemiError `CAPTURE_INVALID`, naming the flag and what it takes.
 */
export function parseCaptureOptions(input: CaptureInput): CaptureOptions {
  const { flags, owner, families = ['v4'] } = input;
  const ports = (flag: CaptureTextFlag): readonly number[] => parsePorts(flag, flags[flag]);
  const port = (flag: CaptureTextFlag): number => parsePort(flag, flags[flag]);
  const [inbound, outbound] = [flags['istio-inbound-ports'], flags['istio-service-cidr']];
  const options: CaptureOptions = {
    outboundPort: port('envoy-port'),
    inboundPort: port('inbound-capture-port'),
    tunnelPort: port('inbound-tunnel-port'),
    owner: owner ?? parseOwnerIds(flags),
    mode: parseMode(flags['istio-inbound-interception-mode']),
    tproxyMark: parseNumber('istio-inbound-tproxy-mark', flags['istio-inbound-tproxy-mark'], 2 ** 32 - 1),
    tproxyRouteTable: parseNumber('istio-inbound-tproxy-route-table', flags['istio-inbound-tproxy-route-table'], 252),
    inboundPorts: inbound === '*' ? '*' : ports('istio-inbound-ports'),
    excludedInboundPorts: ports('istio-local-exclude-ports'),
    outboundCidrs: outbound === '*' ? '*' : parseCidrs('istio-service-cidr', outbound),
    excludedOutboundCidrs: parseCidrs('istio-service-exclude-cidr', flags['istio-service-exclude-cidr']),
    outboundPorts: ports('istio-outbound-ports'),
    excludedOutboundPorts: ports('istio-local-outbound-ports-exclude'),
    excludedInterfaces: parseInterfaces('istio-exclude-interfaces', flags['istio-exclude-interfaces']),
    virtualInterfaces: parseInterfaces('kube-virt-interfaces', flags['kube-virt-interfaces']),
    ownerGroups: parseOwnerGroups(flags['outbound-owner-groups'], flags['outbound-owner-groups-exclude']),
    ipv4LoopbackCidr: parseLoopback(flags['outbound-ipv4-loopback-cidr']),
    dnsServers: resolveDnsServers(input),
    dropsInvalid: flags['drop-invalid'],
    families,
  };
  if (options.mode === 'TPROXY' && options.owner.kind === 'mark') {
    throw new MeltemiError(
      'CAPTURE_INVALID',
      'Cannot capture with TPROXY here: it marks packets for its own routes, and the sidecar is told apart by a mark too; use REDIRECT',
    );
  }
  return options;
}

/**
 * How long the check of the rules may take, in milliseconds.
 *
 * @throws MeltemiError `CAPTURE_INVALID`.
 */
export function parseProbeTimeoutMs(flags: CaptureFlagValues): number {
  const timeout = parseDurationMs(flags['probe-timeout']);
  if (!timeout.ok || timeout.value <= 0)
    throw invalid('probe-timeout', flags['probe-timeout'], 'a duration is a number with a unit, such as 5s');
  return timeout.value;
}

/** @throws MeltemiError `CAPTURE_INVALID` when it is no port. */
export function parsePort(flag: CaptureTextFlag, text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) throw invalid(flag, text, 'a port is a number from 1 to 65535');
  return port;
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

function parseMode(text: string): CaptureOptions['mode'] {
  if (text === 'REDIRECT' || text === 'TPROXY') return text;
  throw invalid('istio-inbound-interception-mode', text, 'the modes are REDIRECT and TPROXY');
}

function parseNumber(flag: CaptureTextFlag, text: string, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > max) throw invalid(flag, text, `it is a number from 1 to ${max}`);
  return value;
}

function parsePorts(flag: CaptureTextFlag, text: string): readonly number[] {
  return splitList(text).map((port) => parsePort(flag, port));
}

function parseOwnerIds(flags: CaptureFlagValues): TrafficOwner {
  const uids = parseIds('proxy-uid', flags['proxy-uid']);
  const gids = flags['proxy-gid'] === '' ? uids : parseIds('proxy-gid', flags['proxy-gid']);
  return { kind: 'ids', uids, gids };
}

function parseIds(flag: CaptureTextFlag, text: string): readonly number[] {
  return splitList(text).map((id) => {
    if (!/^\d+$/.test(id)) throw invalid(flag, text, 'an id is a number');
    return Number(id);
  });
}

function parseCidrs(flag: string, text: string): readonly string[] {
  return splitList(text).map((cidr) => {
    const [address = '', length, ...rest] = cidr.split('/');
    const maxLength = isIPv6(address) ? 128 : 32;
    const isLength = length === undefined || (/^\d+$/.test(length) && Number(length) <= maxLength);
    if (isIP(address) === 0 || !isLength || rest.length > 0) {
      throw invalid(flag, cidr, 'a range is an address with a prefix length, such as 10.0.0.0/8');
    }
    return `${isIPv6(address) ? address : toNetwork(address, Number(length ?? maxLength))}/${length ?? maxLength}`;
  });
}

/** The address without the bits that its range ignores, as the kernel's tools print it. */
function toNetwork(address: string, length: number): string {
  const bits = address.split('.').reduce((value, octet) => value * 256 + Number(octet), 0);
  const size = 2 ** (32 - length);
  const network = Math.floor(bits / size) * size;
  return [24, 16, 8, 0].map((shift) => Math.floor(network / 2 ** shift) % 256).join('.');
}

function parseLoopback(text: string): string {
  const [cidr = '', ...rest] = parseCidrs('outbound-ipv4-loopback-cidr', text);
  if (rest.length > 0 || !cidr.startsWith('127.'))
    throw invalid('outbound-ipv4-loopback-cidr', text, 'it is one range of 127.0.0.0/8');
  return cidr;
}

function parseInterfaces(flag: CaptureTextFlag, text: string): readonly string[] {
  return splitList(text).map((name) => {
    // What iptables itself accepts as an interface name; anything else could end the rule and begin another.
    if (!/^[a-zA-Z0-9_.@-]{1,15}\+?$/.test(name))
      throw invalid(flag, name, 'an interface name has at most 15 characters');
    return name;
  });
}

function parseOwnerGroups(included: string, excluded: string): OwnerGroups {
  if (included === '*') return { kind: 'except', groups: parseGroups('outbound-owner-groups-exclude', excluded) };
  return { kind: 'only', groups: parseGroups('outbound-owner-groups', included) };
}

function parseGroups(flag: CaptureTextFlag, text: string): readonly string[] {
  return splitList(text).map((group) => {
    if (!/^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,31}$/.test(group))
      throw invalid(flag, group, 'a group is an id or a name of the system');
    return group;
  });
}

/** In CNI mode the file with the name servers is the node's, not the pod's: every query is captured. */
function resolveDnsServers({ flags, nameServers = [] }: CaptureInput): CaptureOptions['dnsServers'] {
  if (!flags['redirect-dns']) return [];
  return flags['capture-all-dns'] || flags['cni-mode'] ? '*' : nameServers;
}
