import { at, type FindingList } from '../finding.ts';
import type { HTTPRetry } from '../kinds/shared-messages.ts';
import { checkDuration } from './field-rules.ts';

const CONDITIONS: ReadonlySet<string> = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'http3-post-connect-failure',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

/** A retry policy: not fewer than no attempts, and conditions that Envoy knows. */
export function checkRetries(retries: HTTPRetry | undefined, path: string, findings: FindingList): void {
  if (retries === undefined) return;
  const { attempts = 0 } = retries;
  if (attempts < 0) findings.error(at(path, 'attempts'), `is ${attempts}, must not be negative`);
  if (attempts === 0 && (retries.retryOn ?? '') !== '') {
    findings.error(at(path, 'retryOn'), 'has no effect with 0 attempts; set attempts, or remove it');
  }
  checkDuration(retries.perTryTimeout, at(path, 'perTryTimeout'), findings);
  checkDuration(retries.backoff, at(path, 'backoff'), findings);
  for (const condition of (retries.retryOn ?? '').split(',')) {
    const name = condition.trim();
    if (name === '' || CONDITIONS.has(name)) continue;
    const status = Number(name);
    if (Number.isInteger(status) && status >= 100 && status <= 599) continue;
    findings.error(at(path, 'retryOn'), `"${name}" is not a retry condition; use for example 5xx or connect-failure`);
  }
}
