import { MeltemiError } from '@meltemi/base';
import type { KubeStatus } from './types.ts';

/** Codes of this package's errors. */
export const KUBE_ERROR_CODES = {
  /** A kubeconfig could not be read, or asks for something that is refused. */
  kubeconfig: 'KUBECONFIG_INVALID',
  /** The API server answered with a failure. */
  api: 'KUBE_API_ERROR',
  /** The API server could not be reached, or the connection broke. */
  connection: 'KUBE_CONNECTION_FAILED',
} as const;

/** What is known of a failed call. */
export interface KubeErrorOptions {
  /** HTTP status; 0 when no answer came. */
  readonly statusCode: number;
  readonly reason?: string | undefined;
  readonly status?: KubeStatus | undefined;
  /** How long the server asks to be left alone. */
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** A call to an API server that failed. */
export class KubeError extends MeltemiError {
  /** HTTP status; 0 when no answer came. */
  readonly statusCode: number;
  /** `NotFound`, `AlreadyExists`, `Conflict`, `Expired`, …; empty when no answer came. */
  readonly reason: string;
  /** The server's Status object, when it sent one. */
  readonly status: KubeStatus | undefined;
  /** How long the server asks to be left alone, when it says so. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: KubeErrorOptions) {
    super(options.statusCode === 0 ? KUBE_ERROR_CODES.connection : KUBE_ERROR_CODES.api, message, {
      cause: options.cause,
      details: { statusCode: options.statusCode, reason: options.reason ?? '' },
    });
    this.name = 'KubeError';
    this.statusCode = options.statusCode;
    this.reason = options.reason ?? '';
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
  }
}

function hasReason(error: unknown, statusCode: number, reason: string): boolean {
  return (
    error instanceof KubeError && (error.reason === reason || (error.reason === '' && error.statusCode === statusCode))
  );
}

/** The object, or its kind, does not exist. */
export function isNotFound(error: unknown): boolean {
  return hasReason(error, 404, 'NotFound');
}

/** An object of that name exists. */
export function isAlreadyExists(error: unknown): boolean {
  return hasReason(error, 409, 'AlreadyExists');
}

/** Somebody else wrote the object first: read it again. */
export function isConflict(error: unknown): boolean {
  return hasReason(error, 409, 'Conflict');
}

/** The version asked for is too old: list again. */
export function isExpired(error: unknown): boolean {
  return (
    error instanceof KubeError && (error.statusCode === 410 || error.reason === 'Expired' || error.reason === 'Gone')
  );
}

/**
 * The server, or what stands before it, turned a request away without judging what it asks for: who calls is not known
 * or not allowed right now, or there is too much to do. What was reached before is still good.
 */
export function isTurnedAway(error: unknown): boolean {
  return error instanceof KubeError && TURNED_AWAY.has(error.statusCode);
}

const TURNED_AWAY: ReadonlySet<number> = new Set([401, 403, 429, 502, 503, 504]);
