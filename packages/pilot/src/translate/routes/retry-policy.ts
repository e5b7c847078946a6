import type { HTTPRetry } from '@meltemi/api';
import type { RetryPolicySchema } from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import { PreviousHostsPredicateSchema } from '@meltemi/xds/types/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js';
import { defined, durationOf, type Init, namedExtension } from '../protobuf-values.ts';

/** What is retried when nobody says: failures that surely or very likely never reached the application. */
export const DEFAULT_RETRY_ON = 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes';
const DEFAULT_ATTEMPTS = 2;
const HOST_SELECTION_ATTEMPTS = 5;

/**
 * How a request is tried again.
 *
 * @param retries What the route, or else the mesh, says; absent for the built-in default.
 * @param isSticky A single destination with a consistent hash: another attempt must be free to pick the same host.
 * @returns `undefined` when requests are not retried.
 */
export function buildRetryPolicy(
  retries: HTTPRetry | undefined,
  isSticky: boolean,
): Init<typeof RetryPolicySchema> | undefined {
  const numRetries = retries === undefined ? DEFAULT_ATTEMPTS : (retries.attempts ?? DEFAULT_ATTEMPTS);
  if (numRetries <= 0) return undefined;
  const { retryOn, retriableStatusCodes } = parseRetryOn(retries?.retryOn);
  const backoff = durationOf(retries?.backoff);
  const avoidsPreviousHosts = retries?.retryIgnorePreviousHosts ?? !isSticky;
  return defined({
    retryOn,
    retriableStatusCodes,
    numRetries,
    perTryTimeout: durationOf(retries?.perTryTimeout),
    retryBackOff: backoff === undefined ? undefined : { baseInterval: backoff },
    hostSelectionRetryMaxAttempts: BigInt(HOST_SELECTION_ATTEMPTS),
    retryHostPredicate: avoidsPreviousHosts ? [previousHosts()] : [],
  });
}

/** Splits `503,reset` into conditions and status codes; codes ask for the condition that uses them. */
function parseRetryOn(text: string | undefined): {
  readonly retryOn: string;
  readonly retriableStatusCodes: number[];
} {
  if (text === undefined || text === '') return { retryOn: DEFAULT_RETRY_ON, retriableStatusCodes: [] };
  const conditions: string[] = [];
  const retriableStatusCodes: number[] = [];
  for (const token of text.split(',').map((part) => part.trim())) {
    if (/^\d+$/.test(token)) retriableStatusCodes.push(Number(token));
    else if (token !== '') conditions.push(token);
  }
  if (retriableStatusCodes.length > 0 && !conditions.includes('retriable-status-codes'))
    conditions.push('retriable-status-codes');
  return { retryOn: conditions.join(','), retriableStatusCodes };
}

function previousHosts() {
  const { name, typedConfig } = namedExtension(
    'envoy.retry_host_predicates.previous_hosts',
    PreviousHostsPredicateSchema,
    {},
  );
  return { name, configType: { case: 'typedConfig' as const, value: typedConfig } };
}
