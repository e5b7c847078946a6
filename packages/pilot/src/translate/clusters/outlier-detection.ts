import type { OutlierDetection } from '@meltemi/api';
import type { ClusterSchema } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { defined, durationOf, type Init } from '../protobuf-values.ts';

type ClusterInit = Init<typeof ClusterSchema>;

/**
 * Ejection of failing endpoints, and the panic threshold that goes with it.
 *
 * Without a minimum of healthy endpoints panic is off: traffic never goes to endpoints known to be bad.
 */
export function buildOutlierDetection(outlier: OutlierDetection | undefined): ClusterInit {
  const panicPercent = outlier?.minHealthPercent ?? 0;
  const commonLbConfig = { healthyPanicThreshold: { value: panicPercent } };
  if (outlier === undefined) return { commonLbConfig };
  // The oldest spelling of the field counts only where neither of its successors is set.
  const isLegacy = outlier.consecutiveGatewayErrors === undefined && outlier.consecutive5xxErrors === undefined;
  const gatewayErrors = outlier.consecutiveGatewayErrors ?? (isLegacy ? outlier.consecutiveErrors : undefined);
  return {
    commonLbConfig,
    outlierDetection: defined({
      consecutive5xx: outlier.consecutive5xxErrors,
      enforcingConsecutive5xx: enforcing(outlier.consecutive5xxErrors),
      consecutiveGatewayFailure: gatewayErrors,
      enforcingConsecutiveGatewayFailure: enforcing(gatewayErrors),
      enforcingSuccessRate: 0,
      interval: durationOf(outlier.interval),
      baseEjectionTime: durationOf(outlier.baseEjectionTime),
      maxEjectionPercent: outlier.maxEjectionPercent,
      splitExternalLocalOriginErrors: outlier.splitExternalLocalOriginErrors,
      consecutiveLocalOriginFailure: outlier.consecutiveLocalOriginFailures,
      enforcingConsecutiveLocalOriginFailure: enforcing(outlier.consecutiveLocalOriginFailures),
    }),
  };
}

function enforcing(count: number | undefined): number | undefined {
  if (count === undefined) return undefined;
  return count > 0 ? 100 : 0;
}
