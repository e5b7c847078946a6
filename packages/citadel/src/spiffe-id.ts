import { err, ok, type Result } from '@meltemi/base/pure';

/** A workload's identity: `spiffe://<trustDomain>/ns/<namespace>/sa/<serviceAccount>`. */
export interface SpiffeId {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** The scheme with its slashes, as every SPIFFE ID begins. */
export const SPIFFE_PREFIX = 'spiffe://';

const MAX_BYTES = 2048;

/** Writes the URI form. The parts are taken as they are: they come from a verified token or from {@link parseSpiffeId}. */
export function formatSpiffeId({ trustDomain, namespace, serviceAccount }: SpiffeId): string {
  return `${SPIFFE_PREFIX}${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

/**
 * The trust domain as it appears in identities: an `@` (from cloud account names) becomes a dot.
 *
 * @see istio: pkg/spiffe/spiffe.go
 */
export function normalizeTrustDomain(trustDomain: string): string {
  return trustDomain.replaceAll('@', '.');
}

/**
 * Reads a workload identity strictly: five segments, lower-case trust domain, no empty or dot segments, at most 2048 bytes.
 *
 * @see spiffe: standards/SPIFFE-ID.md sections 2.1, 2.2
 */
export function parseSpiffeId(text: string): Result<SpiffeId> {
  const invalid = (reason: string): Result<SpiffeId> =>
    err(
      `"${text.slice(0, 200)}" is not a SPIFFE ID spiffe://<trust domain>/ns/<namespace>/sa/<service account>: ${reason}`,
    );
  if (Buffer.byteLength(text) > MAX_BYTES) return invalid(`it is longer than ${MAX_BYTES} bytes`);
  if (!text.startsWith(SPIFFE_PREFIX)) return invalid(`it does not begin with ${SPIFFE_PREFIX}`);
  const segments = text.slice(SPIFFE_PREFIX.length).split('/');
  const [trustDomain = '', ns, namespace = '', sa, serviceAccount = ''] = segments;
  if (segments.length !== 5 || ns !== 'ns' || sa !== 'sa') return invalid('its path is not /ns/…/sa/…');
  if (!/^[a-z0-9._-]{1,255}$/.test(trustDomain))
    return invalid('its trust domain has characters outside a-z 0-9 . _ -');
  for (const segment of [namespace, serviceAccount]) {
    if (!/^[a-zA-Z0-9._-]+$/.test(segment) || segment === '.' || segment === '..') {
      return invalid(`"${segment}" is not a path segment`);
    }
  }
  return ok({ trustDomain, namespace, serviceAccount });
}
