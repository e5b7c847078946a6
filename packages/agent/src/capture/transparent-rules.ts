import type { CaptureOptions } from './capture-options.ts';
import { forEachFamily, loopbackOf, ownerMatches, PASSTHROUGH_SOURCE } from './owner-matches.ts';
import {
  type CaptureRule,
  IN_LOOPBACK,
  jump,
  type Match,
  OUT_LOOPBACK,
  RETURN,
  TCP,
  toPort,
  type Verdict,
} from './rule-model.ts';

/** Mark of what the sidecar sends to its own pod: an inbound call, though it never left. */
const OUTBOUND_MARK = 1338;

/** Builds table `mangle`: transparent inbound capture, and what is to be dropped. */
export function buildMangleRules(options: CaptureOptions): readonly CaptureRule[] {
  return [
    ...(options.mode === 'TPROXY' ? options.excludedInterfaces.flatMap(leaveInterfaceAlone) : []),
    ...(options.dropsInvalid ? dropInvalid() : []),
    ...(options.mode === 'TPROXY' ? buildTransparent(options) : []),
  ];
}

function mangle(chain: string, matches: readonly Match[], verdict: Verdict): CaptureRule {
  return { table: 'mangle', chain, matches, verdict };
}

function leaveInterfaceAlone(name: string): readonly CaptureRule[] {
  return [
    mangle('PREROUTING', [{ kind: 'interface', direction: 'in', name }], RETURN),
    mangle('OUTPUT', [{ kind: 'interface', direction: 'out', name }], RETURN),
  ];
}

function dropInvalid(): readonly CaptureRule[] {
  return [
    mangle('PREROUTING', [{ kind: 'state', states: ['INVALID'] }], jump('ISTIO_DROP')),
    mangle('ISTIO_DROP', [], { kind: 'drop' }),
  ];
}

function buildTransparent(options: CaptureOptions): readonly CaptureRule[] {
  const { tproxyMark, inboundPort } = options;
  const hasMark: Match = { kind: 'mark', of: 'packet', mark: tproxyMark };
  const beyondLoopback = (cidr: string): Match => ({ kind: 'address', side: 'destination', cidr, isNegated: true });
  return [
    ...(capturesInbound(options) ? buildInbound(options, hasMark) : []),
    ...(capturesInbound(options)
      ? [
          mangle('ISTIO_DIVERT', [], { kind: 'set-mark', mark: tproxyMark }),
          mangle('ISTIO_DIVERT', [], { kind: 'accept' }),
          ...forEachFamily(options, (family) =>
            mangle('ISTIO_TPROXY', [beyondLoopback(loopbackOf(options, family)), TCP], {
              kind: 'tproxy',
              port: inboundPort,
              mark: tproxyMark,
            }),
          ),
        ]
      : []),
    mangle('PREROUTING', [TCP, hasMark], { kind: 'save-mark' }),
    mangle('OUTPUT', [OUT_LOOPBACK, TCP, hasMark], RETURN),
    ...ownerMatches(options.owner).flatMap(({ is }) =>
      forEachFamily(options, (family) =>
        mangle('OUTPUT', [OUT_LOOPBACK, beyondLoopback(loopbackOf(options, family)), TCP, is], {
          kind: 'set-mark',
          mark: OUTBOUND_MARK,
        }),
      ),
    ),
    mangle('OUTPUT', [TCP, { kind: 'mark', of: 'connection', mark: tproxyMark }], { kind: 'restore-mark' }),
  ];
}

function capturesInbound({ inboundPorts }: CaptureOptions): boolean {
  return inboundPorts === '*' || inboundPorts.length > 0;
}

/** Packets of known connections are diverted to their sockets; new connections go to the inbound listener. */
function buildInbound(options: CaptureOptions, hasMark: Match): readonly CaptureRule[] {
  const { inboundPorts, excludedInboundPorts } = options;
  const known: Match = { kind: 'state', states: ['RELATED', 'ESTABLISHED'] };
  const inbound = (matches: readonly Match[], verdict: Verdict): CaptureRule =>
    mangle('ISTIO_INBOUND', [TCP, ...matches], verdict);
  const capture = (matches: readonly Match[]): readonly CaptureRule[] => [
    inbound([...matches, known], jump('ISTIO_DIVERT')),
    inbound(matches, jump('ISTIO_TPROXY')),
  ];
  return [
    mangle('PREROUTING', [TCP], jump('ISTIO_INBOUND')),
    inbound([hasMark], RETURN),
    ...forEachFamily(options, (family) =>
      inbound([{ kind: 'address', side: 'source', cidr: PASSTHROUGH_SOURCE[family] }, IN_LOOPBACK], RETURN),
    ),
    inbound([IN_LOOPBACK, { kind: 'mark', of: 'packet', mark: OUTBOUND_MARK, isNegated: true }], RETURN),
    ...(inboundPorts === '*'
      ? [...excludedInboundPorts.map((port) => inbound([toPort(port)], RETURN)), ...capture([])]
      : inboundPorts.flatMap((port) => capture([toPort(port)]))),
  ];
}
