import { certificatesOf } from './pem-bundle.ts';
import type { WorkloadIdentity, WorkloadSecret } from './workload-identity.ts';

/** An identity whose peers may also chain to roots that the control plane pushes. */
export interface AnchoredIdentity extends WorkloadIdentity {
  /** Replaces the pushed roots. */
  setAnchors(pems: readonly string[]): void;
}

/**
 * Adds pushed roots to those of an identity, each once and in the order of their text, so that equal sets are equal bundles.
 *
 * Where the set changes, peers are checked by it at once, and the certificate is asked for again: the CA may sign by another
 * root now.
 */
export function withTrustAnchors(identity: WorkloadIdentity): AnchoredIdentity {
  const listeners = new Set<(secret: WorkloadSecret) => void>();
  let anchors: ReadonlySet<string> | undefined;
  const merge = (secret: WorkloadSecret): WorkloadSecret => {
    if (anchors === undefined || anchors.size === 0) return secret;
    const roots = new Set([...certificatesOf(secret.rootPem), ...anchors]);
    return { ...secret, rootPem: [...roots].sort().join('') };
  };
  const current = (): WorkloadSecret | undefined => {
    const secret = identity.current();
    return secret === undefined ? undefined : merge(secret);
  };
  const tell = (): void => {
    const secret = current();
    if (secret !== undefined) for (const listener of listeners) listener(secret);
  };
  identity.onChange(tell);
  return {
    current,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    run: (signal) => identity.run(signal),
    renew: () => identity.renew(),
    setAnchors(pems) {
      const next = new Set(pems.flatMap(certificatesOf));
      const secret = identity.current();
      // The CA's answer had its roots, which the first push mostly repeats; an answer that is still to come will have them.
      const known = anchors ?? (next.size === 0 ? next : new Set(certificatesOf(secret?.rootPem ?? '')));
      anchors = next;
      if (secret === undefined || isSameSet(known, next)) return;
      tell();
      identity.renew();
    },
  };
}

function isSameSet(left: ReadonlySet<string>, right: ReadonlySet<string>): boolean {
  return left.size === right.size && [...left].every((pem) => right.has(pem));
}
