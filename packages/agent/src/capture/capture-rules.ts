import { isIPv6 } from 'node:net';
import type { CaptureOptions } from './capture-options.ts';
import { buildDnsRedirects, buildDnsZones } from './dns-rules.ts';
import {
  forEachFamily,
  loopbackOf,
  type OwnerMatch,
  ownerGroupRules,
  ownerMatches,
  PASSTHROUGH_SOURCE,
} from './owner-matches.ts';
import {
  type CaptureRule,
  type CaptureRules,
  type IpFamily,
  jump,
  type Match,
  notToPort,
  OUT_LOOPBACK,
  RETURN,
  TCP,
  toAddress,
  toPort,
  UDP,
  type Verdict,
} from './rule-model.ts';
import { buildMangleRules } from './transparent-rules.ts';

/**
 * Builds the rules that lead a pod's traffic through its sidecar.
 *
 * The order within each chain is what gives the rules their meaning; it is the order of Istio's own.
 *
 * @see istio: tools/istio-iptables/pkg/capture
 */
export function buildCaptureRules(options: CaptureOptions): CaptureRules {
  const isTransparent = options.mode === 'TPROXY';
  return {
    families: options.families,
    transparentRoutes: isTransparent ? { mark: options.tproxyMark, routeTable: options.tproxyRouteTable } : undefined,
    rules: [
      ...buildDnsZones(options),
      ...buildMangleRules(options),
      ...buildVirtualInterfaces(options),
      ...options.excludedInterfaces.flatMap(leaveInterfaceAlone),
      ...buildInbound(options),
      nat('ISTIO_IN_REDIRECT', [TCP], { kind: 'redirect', port: options.inboundPort }),
      nat('ISTIO_REDIRECT', [TCP], { kind: 'redirect', port: options.outboundPort }),
      ...buildOutput(options),
    ],
  };
}

const EVERYTHING = { families: ['v4', 'v6'], inboundPorts: '*', dropsInvalid: true, dnsServers: '*' } as const;

/**
 * Rules that a run with the same addresses and owners, but other modes, puts into the built-in chains. What of them stands in
 * the kernel is left from such a run.
 */
export function buildPossibleRules(options: CaptureOptions): readonly CaptureRule[] {
  const modes = ['REDIRECT', 'TPROXY'] as const;
  return modes.flatMap((mode) => buildCaptureRules({ ...options, ...EVERYTHING, mode }).rules);
}

/** Family of a range, which is the family of every rule that names it. */
export function familyOf(cidr: string): IpFamily {
  return isIPv6(cidr.split('/')[0] ?? '') ? 'v6' : 'v4';
}

function nat(chain: string, matches: readonly Match[], verdict: Verdict): CaptureRule {
  return { table: 'nat', chain, matches, verdict };
}

function leaveInterfaceAlone(name: string): readonly CaptureRule[] {
  return [
    nat('PREROUTING', [{ kind: 'interface', direction: 'in', name }], RETURN),
    nat('OUTPUT', [{ kind: 'interface', direction: 'out', name }], RETURN),
  ];
}

/** First in the chain, the last named interface first: Istio inserts each at the head. */
function buildVirtualInterfaces({ virtualInterfaces, outboundCidrs }: CaptureOptions): readonly CaptureRule[] {
  const from = (name: string): Match => ({ kind: 'interface', direction: 'in', name });
  const names = [...virtualInterfaces].reverse();
  const toProxy =
    outboundCidrs === '*'
      ? names.map((name) => nat('PREROUTING', [from(name)], jump('ISTIO_REDIRECT')))
      : [...outboundCidrs].reverse().flatMap((cidr) =>
          names.map((name) => ({
            ...nat('PREROUTING', [from(name), toAddress(cidr)], jump('ISTIO_REDIRECT')),
            family: familyOf(cidr),
          })),
        );
  const rules = [...toProxy, ...names.map((name) => nat('PREROUTING', [from(name)], RETURN))];
  return rules.map((rule) => ({ ...rule, isFirst: true }));
}

function buildInbound(options: CaptureOptions): readonly CaptureRule[] {
  const { inboundPorts, excludedInboundPorts, tunnelPort } = options;
  const tunnel = nat('ISTIO_INBOUND', [TCP, toPort(tunnelPort)], RETURN);
  if (options.mode === 'TPROXY' || (inboundPorts !== '*' && inboundPorts.length === 0)) return [tunnel];
  const entrance = nat('PREROUTING', [TCP], jump('ISTIO_INBOUND'));
  if (inboundPorts !== '*') {
    const captured = inboundPorts.map((port) => nat('ISTIO_INBOUND', [TCP, toPort(port)], jump('ISTIO_IN_REDIRECT')));
    return [entrance, tunnel, ...captured];
  }
  return [
    entrance,
    tunnel,
    ...excludedInboundPorts.map((port) => nat('ISTIO_INBOUND', [TCP, toPort(port)], RETURN)),
    nat('ISTIO_INBOUND', [TCP], jump('ISTIO_IN_REDIRECT')),
  ];
}

function buildOutput(options: CaptureOptions): readonly CaptureRule[] {
  const { outboundCidrs, outboundPorts, excludedOutboundPorts, excludedOutboundCidrs } = options;
  const output = (matches: readonly Match[], verdict: Verdict): CaptureRule => nat('ISTIO_OUTPUT', matches, verdict);
  const inRange = (cidr: string, verdict: Verdict): CaptureRule => ({
    ...output([toAddress(cidr)], verdict),
    family: familyOf(cidr),
  });
  return [
    nat('OUTPUT', [], jump('ISTIO_OUTPUT')),
    ...excludedOutboundPorts.flatMap((port) => [
      output([TCP, toPort(port)], RETURN),
      output([UDP, toPort(port)], RETURN),
    ]),
    ...forEachFamily(options, (family) =>
      output([OUT_LOOPBACK, { kind: 'address', side: 'source', cidr: PASSTHROUGH_SOURCE[family] }], RETURN),
    ),
    ...ownerMatches(options.owner).flatMap((owner) => buildOwner(options, owner)),
    ...buildDiscoveryExemption(options),
    ...ownerGroupRules(options),
    ...buildDnsRedirects(options),
    ...forEachFamily(options, (family) => output([toAddress(loopbackOf(options, family))], RETURN)),
    ...excludedOutboundCidrs.map((cidr) => inRange(cidr, RETURN)),
    ...outboundPorts.map((port) => output([TCP, toPort(port)], jump('ISTIO_REDIRECT'))),
    ...(outboundCidrs === '*'
      ? [output([], jump('ISTIO_REDIRECT'))]
      : outboundCidrs.map((cidr) => inRange(cidr, jump('ISTIO_REDIRECT')))),
  ];
}

/** The sidecar calling its own pod by address is an inbound call; the application calling itself is left alone. */
function buildOwner(options: CaptureOptions, { is, isNot, by }: OwnerMatch): readonly CaptureRule[] {
  const { tunnelPort, outboundCidrs } = options;
  const capturesDns = options.dnsServers === '*' || options.dnsServers.length > 0;
  const capturesLoopback =
    outboundCidrs !== '*' && outboundCidrs.some((cidr) => cidr.startsWith('127.') || cidr.startsWith('::1/'));
  // Queries that the agent passes on to a name server in this pod go there directly.
  const ports = capturesDns && by !== 'gid' ? notToPort(53, tunnelPort) : notToPort(tunnelPort);
  const fromOthers = capturesDns ? [OUT_LOOPBACK, TCP, notToPort(53), isNot] : [OUT_LOOPBACK, isNot];
  return [
    ...forEachFamily(options, (family) => {
      const beyondLoopback: Match = { ...addressOf(loopbackOf(options, family)), isNegated: true };
      return nat('ISTIO_OUTPUT', [OUT_LOOPBACK, beyondLoopback, TCP, ports, is], jump('ISTIO_IN_REDIRECT'));
    }),
    ...(capturesLoopback ? [] : [nat('ISTIO_OUTPUT', fromOthers, RETURN)]),
    nat('ISTIO_OUTPUT', [is], RETURN),
  ];
}

function addressOf(cidr: string) {
  return { kind: 'address', side: 'destination', cidr } as const;
}

/** Where traffic is told apart by a mark, the library that speaks to the control plane cannot set it. */
function buildDiscoveryExemption({ owner }: CaptureOptions): readonly CaptureRule[] {
  if (owner.kind !== 'mark') return [];
  return owner.discoveryAddresses.map((address) => ({
    ...nat('ISTIO_OUTPUT', [TCP, toAddress(`${address}/32`), toPort(owner.discoveryPort)], RETURN),
    family: 'v4',
  }));
}
