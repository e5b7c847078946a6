import type { Clock, Log } from '@meltemi/base';
import type { CertificateAuthority } from './certificate-authority.ts';
import { isRevokedBy, parseRevocationBundle, type RevocationBundle } from './revocation-bundle.ts';
import type { CertificateFields } from './x509/certificate-fields.ts';

/** The revocation lists in force beside a plugged-in CA. */
export interface Revocations {
  /**
   * What namespaces are to have: PEM; empty when no lists were given; `undefined` when those given were refused and none
   * came before, so that whatever namespaces have from earlier stays.
   */
  pem(): string | undefined;
  /** Whether the lists in force revoke a certificate. */
  isRevoked(certificate: Pick<CertificateFields, 'issuer' | 'serialNumber'>): boolean;
  /** Why the lists that were offered last are not in force. */
  problem(): string | undefined;
  /** Unix milliseconds at which the first list in force has to be replaced. */
  notAfterMs(): number | undefined;
  /**
   * Puts lists in force, unless they are incomplete or unreadable: the last good ones stay then.
   *
   * @param text The file as it is now; `undefined` when there is none.
   */
  offer(text: string | undefined): void;
  /** Calls back after every offer that changed something. Returns the function that ends it. */
  onChange(listener: () => void): () => void;
}

/** What {@link createRevocations} works with. */
export interface RevocationOptions {
  readonly ca: Pick<CertificateAuthority, 'bundle'>;
  /** Of the file, for messages. */
  readonly path: string;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
}

const NONE: RevocationBundle = { pem: '', notAfterMs: undefined, revoked: new Map() };

/** Creates the keeper of revocation lists; nothing is in force before the first offer. */
export function createRevocations({ ca, path, clock, log }: RevocationOptions): Revocations {
  const listeners = new Set<() => void>();
  let inForce: RevocationBundle | undefined;
  let problem: string | undefined;

  const refuse = (reason: string): void => {
    if (reason === problem) return;
    problem = reason;
    log.error('Revocation lists refused, the last good ones stay in force', { path, error: reason });
  };
  const accept = (next: RevocationBundle): void => {
    problem = undefined;
    if (next.pem === inForce?.pem) return;
    inForce = next;
    if (next.pem !== '') log.info('Revocation lists in force', { path, nextUpdate: describeTime(next.notAfterMs) });
    if (next.notAfterMs !== undefined && next.notAfterMs <= clock.nowMs())
      log.warn('A revocation list is out of date: proxies refuse every certificate of its issuer', { path });
  };
  return {
    pem: () => inForce?.pem,
    isRevoked: (certificate) => inForce !== undefined && isRevokedBy(inForce, certificate),
    problem: () => problem,
    notAfterMs: () => inForce?.notAfterMs,
    offer(text) {
      const before = { inForce, problem };
      const next = text === undefined ? { ok: true as const, value: NONE } : parseRevocationBundle(text, ca.bundle());
      if (next.ok) accept(next.value);
      else refuse(next.error);
      if (before.inForce === inForce && before.problem === problem) return;
      for (const listener of listeners) listener();
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

function describeTime(unixMs: number | undefined): string {
  return unixMs === undefined ? 'not said' : new Date(unixMs).toISOString();
}
