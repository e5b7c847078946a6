import { X509Certificate } from 'node:crypto';
import { type Clock, err, messageOf, ok, type Result } from '@meltemi/base';
import type { SigningError } from './errors.ts';
import { fingerprintsOf, type SigningBundle } from './signing-bundle.ts';
import { buildCertificate } from './x509/certificate-builder.ts';
import { encodeDistinguishedName } from './x509/distinguished-name.ts';
import { parseSigningRequest } from './x509/signing-request.ts';
import { toSubjectAltName } from './x509/subject-alt-name.ts';

/** Lifetime granted when a request asks for none: 24 hours. */
export const DEFAULT_WORKLOAD_TTL_MS: number = 24 * 3_600_000;
/** Longest lifetime granted: 90 days. */
export const MAX_WORKLOAD_TTL_MS: number = 90 * 24 * 3_600_000;
/** How far back validity begins, for peers whose clock is behind. */
const CLOCK_SKEW_MS = 120_000;

/** What to certify. */
export interface IssueRequest {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** SPIFFE URIs, DNS names or IP addresses. They are the caller's verified identities, never what a request claims. */
  readonly names: readonly string[];
  readonly ttlMs: number;
}

/** A certificate with what a peer needs to check it. */
export interface IssuedCertificate {
  readonly certificatePem: string;
  /** What follows the leaf in a handshake, one PEM certificate an element. */
  readonly chain: readonly string[];
  readonly rootPem: string;
  /** Hexadecimal, upper case, as OpenSSL prints it. */
  readonly serialNumber: string;
  readonly notAfterMs: number;
}

/** Signs certificates with the signing bundle in force. */
export interface CertificateAuthority {
  /** The signing bundle in force. */
  bundle(): SigningBundle;
  /** Certifies a key for names that the caller of this function has verified. */
  issue(request: IssueRequest): Result<IssuedCertificate, SigningError>;
  /**
   * Signs a PKCS#10 request for a workload. Only its public key is used.
   *
   * @param ttlMs Zero or less asks for the default.
   */
  signWorkload(request: {
    csrPem: string;
    names: readonly string[];
    ttlMs: number;
  }): Result<IssuedCertificate, SigningError>;
  /**
   * Replaces the signing bundle while running.
   *
   * @param options.isRenewedRoot The caller has made sure that the root is the old one's key with a new certificate.
   * @returns What forbids it: the trust bundle would change in a way that cuts running workloads off.
   */
  replaceBundle(next: SigningBundle, options?: { readonly isRenewedRoot: boolean }): Result<true>;
  /** Calls back after every replacement. Returns the function that ends it. */
  onChange(listener: () => void): () => void;
}

/** What {@link createCertificateAuthority} works with. */
export interface CertificateAuthorityOptions {
  readonly bundle: SigningBundle;
  readonly clock: Pick<Clock, 'nowMs'>;
  /** @default 24 h */
  readonly defaultTtlMs?: number;
  /** @default 90 d */
  readonly maxTtlMs?: number;
  /** Accepts trust bundles that contain, or are contained in, the one in force. @default false */
  readonly multiRoot?: boolean;
}

/** Creates a certificate authority around a checked signing bundle. */
export function createCertificateAuthority(options: CertificateAuthorityOptions): CertificateAuthority {
  const { clock, defaultTtlMs = DEFAULT_WORKLOAD_TTL_MS, maxTtlMs = MAX_WORKLOAD_TTL_MS, multiRoot = false } = options;
  let bundle = options.bundle;
  const listeners = new Set<() => void>();

  const issue = ({ publicKey, names, ttlMs }: IssueRequest): Result<IssuedCertificate, SigningError> => {
    const nowMs = clock.nowMs();
    const signer = bundle;
    if (signer.notAfterMs <= nowMs) {
      return err({ code: 'CA_NOT_READY', message: 'the signing certificate or its chain has expired' });
    }
    if (names.length === 0) return err({ code: 'CERT_GEN_ERROR', message: 'a certificate needs at least one name' });
    try {
      const certificatePem = buildCertificate(
        {
          subject: encodeDistinguishedName({}),
          issuer: signer.subject,
          publicKey,
          notBeforeMs: nowMs - CLOCK_SKEW_MS,
          notAfterMs: Math.min(nowMs + ttlMs, signer.notAfterMs),
          usage: 'workload',
          subjectAltNames: names.map(toSubjectAltName),
          ...(signer.subjectKeyId === undefined ? {} : { authorityKeyId: signer.subjectKeyId }),
        },
        signer.key,
      );
      const { serialNumber, validTo } = new X509Certificate(certificatePem);
      const { chain, rootPem } = signer;
      return ok({ certificatePem, chain, rootPem, serialNumber, notAfterMs: Date.parse(validTo) });
    } catch (error) {
      return err({ code: 'CERT_GEN_ERROR', message: messageOf(error) });
    }
  };

  return {
    bundle: () => bundle,
    issue,
    signWorkload({ csrPem, names, ttlMs }) {
      const request = parseSigningRequest(csrPem);
      if (!request.ok) return err({ code: 'CSR_ERROR', message: request.error });
      if (ttlMs > maxTtlMs) {
        const message = `the requested lifetime of ${ttlMs / 1000} s is longer than the maximum of ${maxTtlMs / 1000} s`;
        return err({ code: 'TTL_ERROR', message });
      }
      return issue({ publicKey: request.value.publicKeyDer, names, ttlMs: ttlMs > 0 ? ttlMs : defaultTtlMs });
    },
    replaceBundle(next, { isRenewedRoot } = { isRenewedRoot: false }) {
      const refusal = isRenewedRoot ? undefined : findRootChangeProblem(bundle.rootPem, next.rootPem, multiRoot);
      if (refusal !== undefined) return err(refusal);
      bundle = next;
      for (const listener of listeners) listener();
      return ok(true);
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

function findRootChangeProblem(currentPem: string, nextPem: string, multiRoot: boolean): string | undefined {
  const current = fingerprintsOf(currentPem);
  const next = fingerprintsOf(nextPem);
  const grows = [...current].every((root) => next.has(root));
  const shrinks = [...next].every((root) => current.has(root));
  if (grows && shrinks) return undefined;
  if (!multiRoot)
    return 'the root certificates changed; restart the control plane, or enable multiple roots to add one';
  return grows || shrinks
    ? undefined
    : 'the new root certificates neither contain nor are contained in the current ones';
}
