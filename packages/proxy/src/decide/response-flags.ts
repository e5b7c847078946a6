/** Why a response is not simply the upstream's, as bits; a stream may have several. */
export const ResponseFlag = {
  /** No host to choose. */
  noHealthyUpstream: 0x1,
  upstreamConnectionFailure: 0x2,
  upstreamOverflow: 0x4,
  noRouteFound: 0x8,
  noClusterFound: 0x10,
  upstreamRetryLimitExceeded: 0x20,
  upstreamRequestTimeout: 0x40,
  upstreamConnectionTermination: 0x80,
  upstreamRemoteReset: 0x100,
  localReset: 0x200,
  upstreamProtocolError: 0x400,
  upstreamMaxStreamDurationReached: 0x800,
  downstreamConnectionTermination: 0x1000,
  downstreamProtocolError: 0x2000,
  durationTimeout: 0x4000,
  streamIdleTimeout: 0x8000,
  delayInjected: 0x10000,
  faultInjected: 0x20000,
  rateLimited: 0x40000,
  unauthorizedExternalService: 0x80000,
  rateLimitServiceError: 0x100000,
  invalidEnvoyRequestHeaders: 0x200000,
  failedLocalHealthCheck: 0x400000,
  overloadManager: 0x800000,
} as const;

/** Bit, short name, long name, in the order in which Envoy prints them. */
const NAMES: readonly (readonly [number, string, string])[] = [
  [ResponseFlag.failedLocalHealthCheck, 'LH', 'FailedLocalHealthCheck'],
  [ResponseFlag.noHealthyUpstream, 'UH', 'NoHealthyUpstream'],
  [ResponseFlag.upstreamRequestTimeout, 'UT', 'UpstreamRequestTimeout'],
  [ResponseFlag.localReset, 'LR', 'LocalReset'],
  [ResponseFlag.upstreamRemoteReset, 'UR', 'UpstreamRemoteReset'],
  [ResponseFlag.upstreamConnectionFailure, 'UF', 'UpstreamConnectionFailure'],
  [ResponseFlag.upstreamConnectionTermination, 'UC', 'UpstreamConnectionTermination'],
  [ResponseFlag.upstreamOverflow, 'UO', 'UpstreamOverflow'],
  [ResponseFlag.noRouteFound, 'NR', 'NoRouteFound'],
  [ResponseFlag.delayInjected, 'DI', 'DelayInjected'],
  [ResponseFlag.faultInjected, 'FI', 'FaultInjected'],
  [ResponseFlag.rateLimited, 'RL', 'RateLimited'],
  [ResponseFlag.unauthorizedExternalService, 'UAEX', 'UnauthorizedExternalService'],
  [ResponseFlag.rateLimitServiceError, 'RLSE', 'RateLimitServiceError'],
  [ResponseFlag.downstreamConnectionTermination, 'DC', 'DownstreamConnectionTermination'],
  [ResponseFlag.upstreamRetryLimitExceeded, 'URX', 'UpstreamRetryLimitExceeded'],
  [ResponseFlag.streamIdleTimeout, 'SI', 'StreamIdleTimeout'],
  [ResponseFlag.invalidEnvoyRequestHeaders, 'IH', 'InvalidEnvoyRequestHeaders'],
  [ResponseFlag.downstreamProtocolError, 'DPE', 'DownstreamProtocolError'],
  [ResponseFlag.upstreamMaxStreamDurationReached, 'UMSDR', 'UpstreamMaxStreamDurationReached'],
  [ResponseFlag.noClusterFound, 'NC', 'NoClusterFound'],
  [ResponseFlag.durationTimeout, 'DT', 'DurationTimeout'],
  [ResponseFlag.upstreamProtocolError, 'UPE', 'UpstreamProtocolError'],
  [ResponseFlag.overloadManager, 'OM', 'OverloadManager'],
];

/** Short names joined by `,`; `-` when there are none. */
export function formatResponseFlags(flags: number): string {
  return flags === 0 ? '-' : joinNames(flags, 1);
}

/** Long names joined by `,`; `-` when there are none. */
export function formatResponseFlagsLong(flags: number): string {
  return flags === 0 ? '-' : joinNames(flags, 2);
}

function joinNames(flags: number, column: 1 | 2): string {
  return NAMES.filter(([bit]) => (flags & bit) !== 0)
    .map((names) => names[column])
    .join(',');
}
