import type { RetryPolicy } from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import { PreviousHostsPredicateSchema } from '@meltemi/xds/types/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js';
import type { RuntimeRetryCondition, RuntimeRetryPolicy } from '../config/route.ts';
import { CompileError } from './compile-error.ts';
import { durationMsOr } from './duration.ts';
import { compileHeaderMatcher } from './matchers.ts';
import { typeNameOf } from './typed-config.ts';

const DEFAULT_BASE_INTERVAL_MS = 25;

const CONDITIONS: ReadonlySet<string> = new Set<RuntimeRetryCondition>([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'refused-stream',
  'envoy-ratelimited',
  'retriable-4xx',
  'retriable-status-codes',
  'retriable-headers',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

/** Envoy ignores conditions that it does not know; so do we. */
function parseRetryOn(retryOn: string): RuntimeRetryCondition[] {
  return retryOn
    .split(',')
    .map((condition) => condition.trim())
    .filter((condition): condition is RuntimeRetryCondition => CONDITIONS.has(condition));
}

function avoidsPreviousHosts(policy: RetryPolicy): boolean {
  for (const { name, configType } of policy.retryHostPredicate) {
    const isPrevious =
      configType.value === undefined
        ? name === 'envoy.retry_host_predicates.previous_hosts'
        : typeNameOf(configType.value) === PreviousHostsPredicateSchema.typeName;
    if (!isPrevious) throw new CompileError(`retry_host_predicate ${name} is not supported`);
  }
  return policy.retryHostPredicate.length > 0;
}

/** Compiles when and how often requests are tried again. */
export function compileRetryPolicy(policy: RetryPolicy): RuntimeRetryPolicy {
  if (policy.retryPriority !== undefined) throw new CompileError('retry_priority is not supported');
  const baseIntervalMs = durationMsOr(policy.retryBackOff?.baseInterval, DEFAULT_BASE_INTERVAL_MS);
  return {
    retryOn: parseRetryOn(policy.retryOn),
    numRetries: policy.numRetries ?? 1,
    perTryTimeoutMs: durationMsOr(policy.perTryTimeout, undefined),
    perTryIdleTimeoutMs: durationMsOr(policy.perTryIdleTimeout, undefined),
    retriableStatusCodes: policy.retriableStatusCodes,
    retriableHeaders: policy.retriableHeaders.map(compileHeaderMatcher),
    retriableRequestHeaders: policy.retriableRequestHeaders.map(compileHeaderMatcher),
    baseIntervalMs,
    maxIntervalMs: durationMsOr(policy.retryBackOff?.maxInterval, 10 * baseIntervalMs),
    avoidPreviousHosts: avoidsPreviousHosts(policy),
    hostSelectionMaxAttempts: Number(policy.hostSelectionRetryMaxAttempts) || 1,
  };
}
