import type { ResetReason } from '../codec/message-heads.ts';
import type { RuntimeRetryCondition, RuntimeRetryPolicy } from '../config/runtime-config.ts';
import { compileHeaderMatcher, type RequestPredicate } from './header-match.ts';
import type { HeaderView, RequestView } from './request-view.ts';

/** A retry policy ready to be asked. */
export interface CompiledRetryPolicy {
  readonly config: RuntimeRetryPolicy;
  readonly conditions: ReadonlySet<RuntimeRetryCondition>;
  readonly statusCodes: ReadonlySet<number>;
  readonly responseHeaders: readonly RequestPredicate[];
  readonly requestHeaders: readonly RequestPredicate[];
}

const GRPC_CONDITIONS: Readonly<Record<string, RuntimeRetryCondition>> = {
  '1': 'cancelled',
  '4': 'deadline-exceeded',
  '8': 'resource-exhausted',
  '13': 'internal',
  '14': 'unavailable',
};

/** The conditions that `x-envoy-retry-on` may name. */
const KNOWN_CONDITIONS: ReadonlySet<string> = new Set<RuntimeRetryCondition>([
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
]);

const CONNECT_FAILURES: ReadonlySet<ResetReason> = new Set([
  'remote connection failure',
  'local connection failure',
  'connection timeout',
]);

/** Compiles a policy once, when its route table arrives. */
export function compileRetryPolicy(config: RuntimeRetryPolicy): CompiledRetryPolicy {
  return {
    config,
    conditions: new Set(config.retryOn),
    statusCodes: new Set(config.retriableStatusCodes),
    responseHeaders: config.retriableHeaders.map(compileHeaderMatcher),
    requestHeaders: config.retriableRequestHeaders.map(compileHeaderMatcher),
  };
}

const EMPTY_POLICY: RuntimeRetryPolicy = {
  retryOn: [],
  numRetries: 1,
  perTryTimeoutMs: undefined,
  perTryIdleTimeoutMs: undefined,
  retriableStatusCodes: [],
  retriableHeaders: [],
  retriableRequestHeaders: [],
  baseIntervalMs: 25,
  maxIntervalMs: 250,
  avoidPreviousHosts: false,
  hostSelectionMaxAttempts: 1,
};

/** The policy of a route with what an internal request's own headers ask for. */
export function mergeRequestedRetries(
  policy: CompiledRetryPolicy | undefined,
  headers: HeaderView,
): CompiledRetryPolicy | undefined {
  const retryOn = headers.get('x-envoy-retry-on');
  const maxRetries = headers.get('x-envoy-max-retries');
  if (retryOn === undefined && maxRetries === undefined) return policy;
  const base = policy?.config ?? EMPTY_POLICY;
  const asked = (retryOn ?? '')
    .split(',')
    .map((word) => word.trim())
    .filter((word): word is RuntimeRetryCondition => KNOWN_CONDITIONS.has(word));
  if (policy === undefined && asked.length === 0) return undefined;
  const count = maxRetries !== undefined && /^\d{1,4}$/.test(maxRetries) ? Number(maxRetries) : base.numRetries;
  return compileRetryPolicy({ ...base, retryOn: [...base.retryOn, ...asked], numRetries: count });
}

/** Whether a request may be retried at all. */
export function isRetriableRequest(policy: CompiledRetryPolicy, request: RequestView): boolean {
  if (policy.conditions.size === 0) return false;
  return policy.requestHeaders.length === 0 || policy.requestHeaders.some((matches) => matches(request));
}

/** Whether an upstream's answer is one to try again. */
export function shouldRetryResponse(policy: CompiledRetryPolicy, status: number, headers: HeaderView): boolean {
  const { conditions } = policy;
  // The host asked for less: retrying would give it more.
  if (headers.get('x-envoy-overloaded') !== undefined) return false;
  if (headers.get('x-envoy-ratelimited') !== undefined) return conditions.has('envoy-ratelimited');
  if (status >= 500 && conditions.has('5xx')) return true;
  if (status >= 502 && status <= 504 && conditions.has('gateway-error')) return true;
  if (status === 409 && conditions.has('retriable-4xx')) return true;
  if (conditions.has('retriable-status-codes') && policy.statusCodes.has(status)) return true;
  if (conditions.has('retriable-headers') && matchesResponseHeaders(policy, headers)) return true;
  const grpcStatus = headers.get('grpc-status');
  if (grpcStatus === undefined) return false;
  const condition = GRPC_CONDITIONS[grpcStatus];
  return condition !== undefined && conditions.has(condition);
}

function matchesResponseHeaders(policy: CompiledRetryPolicy, headers: HeaderView): boolean {
  const view: RequestView = { method: '', path: '', authority: undefined, scheme: undefined, headers };
  return policy.responseHeaders.some((matches) => matches(view));
}

/**
 * Whether an attempt that ended without an answer is one to try again.
 *
 * @param requestSent Some of the request has gone out.
 */
export function shouldRetryReset(policy: CompiledRetryPolicy, reason: ResetReason, requestSent: boolean): boolean {
  const { conditions } = policy;
  if (reason === 'overflow') return false;
  if (conditions.has('5xx') || conditions.has('gateway-error') || conditions.has('reset')) return true;
  if (conditions.has('reset-before-request') && !requestSent) return true;
  if (conditions.has('connect-failure') && CONNECT_FAILURES.has(reason)) return true;
  return conditions.has('refused-stream') && reason === 'remote refused stream reset';
}

/**
 * How long to wait before a retry.
 *
 * @param retryNumber 1 for the first.
 * @param draw In [0, 1).
 */
export function retryDelayMs(policy: RuntimeRetryPolicy, retryNumber: number, draw: number): number {
  return draw * Math.min((2 ** retryNumber - 1) * policy.baseIntervalMs, policy.maxIntervalMs);
}
