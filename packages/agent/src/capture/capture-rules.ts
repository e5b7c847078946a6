import type { CaptureOptions, TrafficOwner } from './capture-options.ts';

const LOOPBACK = '127.0.0.1/32';
/** The address from which the sidecar passes inbound traffic on to the application. */
const INBOUND_PASSTHROUGH_SOURCE = '127.0.0.6/32';

const CHAINS = ['ISTIO_INBOUND', 'ISTIO_IN_REDIRECT', 'ISTIO_OUTPUT', 'ISTIO_REDIRECT'] as const;

/**
 * Builds the `nat` table for REDIRECT capture, as text for `iptables-restore --noflush`.
 *
 * The order within each chain is what gives the rules their meaning; it is the order of Istio's own.
 *
 * @see istio: tools/istio-iptables/pkg/capture
 */
export function buildCaptureRules(options: CaptureOptions): string {
  const rules = [...buildInbound(options), ...buildRedirects(options), ...buildOutput(options)];
  return ['*nat', ...CHAINS.map((chain) => `:${chain} - [0:0]`), ...rules, 'COMMIT', ''].join('\n');
}

function buildInbound(options: CaptureOptions): readonly string[] {
  const { inboundPorts, excludedInboundPorts, excludedInterfaces, tunnelPort } = options;
  const rules = excludedInterfaces.map((name) => `-A PREROUTING -i ${name} -j RETURN`);
  if (inboundPorts !== '*' && inboundPorts.length === 0) return rules;
  rules.push('-A PREROUTING -p tcp -j ISTIO_INBOUND', `-A ISTIO_INBOUND -p tcp --dport ${tunnelPort} -j RETURN`);
  if (inboundPorts === '*') {
    rules.push(...excludedInboundPorts.map((port) => `-A ISTIO_INBOUND -p tcp --dport ${port} -j RETURN`));
    rules.push('-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT');
    return rules;
  }
  rules.push(...inboundPorts.map((port) => `-A ISTIO_INBOUND -p tcp --dport ${port} -j ISTIO_IN_REDIRECT`));
  return rules;
}

function buildRedirects({ inboundPort, outboundPort }: CaptureOptions): readonly string[] {
  return [
    `-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports ${inboundPort}`,
    `-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports ${outboundPort}`,
  ];
}

function buildOutput(options: CaptureOptions): readonly string[] {
  const { outboundCidrs, outboundPorts } = options;
  const toProxy =
    outboundCidrs === '*'
      ? ['-A ISTIO_OUTPUT -j ISTIO_REDIRECT']
      : outboundCidrs.map((cidr) => `-A ISTIO_OUTPUT -d ${cidr} -j ISTIO_REDIRECT`);
  return [
    ...options.excludedInterfaces.map((name) => `-A OUTPUT -o ${name} -j RETURN`),
    '-A OUTPUT -j ISTIO_OUTPUT',
    ...options.excludedOutboundPorts.flatMap((port) => [
      `-A ISTIO_OUTPUT -p tcp --dport ${port} -j RETURN`,
      `-A ISTIO_OUTPUT -p udp --dport ${port} -j RETURN`,
    ]),
    `-A ISTIO_OUTPUT -o lo -s ${INBOUND_PASSTHROUGH_SOURCE} -j RETURN`,
    ...buildOwnerRules(options),
    `-A ISTIO_OUTPUT -d ${LOOPBACK} -j RETURN`,
    ...options.excludedOutboundCidrs.map((cidr) => `-A ISTIO_OUTPUT -d ${cidr} -j RETURN`),
    ...outboundPorts.map((port) => `-A ISTIO_OUTPUT -p tcp --dport ${port} -j ISTIO_REDIRECT`),
    ...toProxy,
  ];
}

function buildOwnerRules({ owner, tunnelPort, outboundCidrs }: CaptureOptions): readonly string[] {
  const capturesLoopback = outboundCidrs !== '*' && outboundCidrs.some((cidr) => cidr.startsWith('127.'));
  const rules: string[] = [];
  for (const { is, isNot } of ownerMatches(owner)) {
    // The sidecar calling its own pod by address is an inbound call; the application calling itself is left alone.
    rules.push(`-A ISTIO_OUTPUT -o lo ! -d ${LOOPBACK} -p tcp ! --dport ${tunnelPort} ${is} -j ISTIO_IN_REDIRECT`);
    if (!capturesLoopback) rules.push(`-A ISTIO_OUTPUT -o lo ${isNot} -j RETURN`);
    rules.push(`-A ISTIO_OUTPUT ${is} -j RETURN`);
  }
  if (owner.kind === 'mark') {
    for (const address of owner.discoveryAddresses) {
      rules.push(`-A ISTIO_OUTPUT -p tcp -d ${address}/32 --dport ${owner.discoveryPort} -j RETURN`);
    }
  }
  return rules;
}

function ownerMatches(owner: TrafficOwner): readonly { readonly is: string; readonly isNot: string }[] {
  if (owner.kind === 'mark') return [{ is: `-m mark --mark ${owner.mark}`, isNot: `-m mark ! --mark ${owner.mark}` }];
  const match = (flag: string, id: number): { is: string; isNot: string } => ({
    is: `-m owner ${flag} ${id}`,
    isNot: `-m owner ! ${flag} ${id}`,
  });
  return [...owner.uids.map((uid) => match('--uid-owner', uid)), ...owner.gids.map((gid) => match('--gid-owner', gid))];
}
