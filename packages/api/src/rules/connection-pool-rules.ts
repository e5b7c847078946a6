import { at, type FindingList } from '../finding.ts';
import type { ConnectionPoolSettings, OutlierDetection } from '../kinds/shared-messages.ts';
import { checkDuration, checkPercent } from './field-rules.ts';

/** A connection pool: not empty, no negative limit. */
export function checkConnectionPool(
  pool: ConnectionPoolSettings | undefined,
  path: string,
  findings: FindingList,
): void {
  if (pool === undefined) return;
  if (pool.tcp === undefined && pool.http === undefined) {
    return findings.error(path, 'is empty; set tcp or http, or remove it');
  }
  checkLimits(pool.tcp, ['maxConnections'], at(path, 'tcp'), findings);
  checkDuration(pool.tcp?.connectTimeout, at(path, 'tcp', 'connectTimeout'), findings);
  checkDuration(pool.tcp?.maxConnectionDuration, at(path, 'tcp', 'maxConnectionDuration'), findings);
  checkDuration(pool.tcp?.idleTimeout, at(path, 'tcp', 'idleTimeout'), findings, { minimumMs: 0 });
  const limits = [
    'http1MaxPendingRequests',
    'http2MaxRequests',
    'maxRequestsPerConnection',
    'maxRetries',
    'maxConcurrentStreams',
  ];
  checkLimits(pool.http, limits, at(path, 'http'), findings);
  checkDuration(pool.http?.idleTimeout, at(path, 'http', 'idleTimeout'), findings, { minimumMs: 0 });
  if (pool.http?.h2UpgradePolicy === 'UPGRADE' && pool.http.useClientProtocol === true) {
    findings.error(at(path, 'http', 'useClientProtocol'), 'does not go with h2UpgradePolicy UPGRADE; keep one of them');
  }
  const keepAlive = pool.http?.http2KeepAlive;
  if (keepAlive === undefined) return;
  for (const field of ['interval', 'timeout'] as const) {
    const fieldPath = at(path, 'http', 'http2KeepAlive', field);
    if (keepAlive[field] === undefined) findings.error(fieldPath, 'is required; add a duration');
    checkDuration(keepAlive[field], fieldPath, findings);
  }
}

/** Outlier detection: percentages in range, status codes that exist. */
export function checkOutlierDetection(
  detection: OutlierDetection | undefined,
  path: string,
  findings: FindingList,
): void {
  if (detection === undefined) return;
  checkDuration(detection.interval, at(path, 'interval'), findings);
  checkDuration(detection.baseEjectionTime, at(path, 'baseEjectionTime'), findings);
  checkPercent(detection.maxEjectionPercent, at(path, 'maxEjectionPercent'), findings);
  checkPercent(detection.minHealthPercent, at(path, 'minHealthPercent'), findings);
  if (detection.consecutiveErrors !== undefined) {
    findings.warning(
      at(path, 'consecutiveErrors'),
      'is deprecated; use consecutiveGatewayErrors or consecutive5xxErrors',
      'IST0002',
    );
  }
  if (detection.consecutiveLocalOriginFailures !== undefined && detection.splitExternalLocalOriginErrors !== true) {
    findings.error(at(path, 'consecutiveLocalOriginFailures'), 'needs splitExternalLocalOriginErrors: true; add it');
  }
  detection.outlierDetectionHttpErrorCodes?.forEach((status, index) => {
    if (status < 100 || status > 599) {
      findings.error(at(path, 'outlierDetectionHttpErrorCodes', index), `must be 100 to 599, is ${status}`);
    }
  });
}

function checkLimits(
  settings: object | undefined,
  names: readonly string[],
  path: string,
  findings: FindingList,
): void {
  for (const [name, value] of Object.entries(settings ?? {})) {
    if (names.includes(name) && typeof value === 'number' && value < 0) {
      findings.error(at(path, name), `is ${value}, must not be negative`);
    }
  }
}
