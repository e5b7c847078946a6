import { KubeError } from './errors.ts';
import type { KubeStatus } from './types.ts';

const MAX_QUOTED_CHARACTERS = 300;

/** Whether a decoded body is the API's `Status`. */
export function isStatus(value: unknown): value is KubeStatus {
  return typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'Status';
}

function parseStatus(body: string): KubeStatus | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return isStatus(value) ? value : undefined;
  } catch {
    // Proxies and load balancers in front of an API server answer with HTML or plain text: quoted as it is.
    return undefined;
  }
}

/** The error that a `Status` object stands for. */
export function statusToError(
  action: string,
  status: KubeStatus,
  {
    statusCode = status.code ?? 500,
    retryAfterMs,
  }: { readonly statusCode?: number; readonly retryAfterMs?: number } = {},
): KubeError {
  return new KubeError(`Cannot ${action}: ${status.message ?? status.reason ?? `HTTP ${statusCode}`}`, {
    statusCode,
    reason: status.reason,
    status,
    retryAfterMs,
  });
}

/**
 * The error that an answer of 400 or more stands for.
 *
 * @param action What was tried, as in "Cannot …": `get pods app1/sleep`.
 */
export function answerToError(action: string, answer: FailedAnswer): KubeError {
  const { statusCode, body, retryAfter } = answer;
  const seconds = Number(retryAfter);
  // A date is allowed too, but no API server sends one.
  const asked = retryAfter !== undefined && seconds >= 0 ? { retryAfterMs: seconds * 1000 } : {};
  const status = parseStatus(body);
  if (status !== undefined) return statusToError(action, status, { statusCode, ...asked });
  const quoted = body.trim().slice(0, MAX_QUOTED_CHARACTERS);
  return new KubeError(`Cannot ${action}: HTTP ${statusCode}${quoted === '' ? '' : `: ${quoted}`}`, {
    statusCode,
    ...asked,
  });
}

/** What a failed call was answered. */
export interface FailedAnswer {
  readonly statusCode: number;
  readonly body: string;
  /** The header of that name, in seconds. */
  readonly retryAfter?: string | undefined;
}
