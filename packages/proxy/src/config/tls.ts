import type { RuntimeSanMatcher } from './matchers.ts';

/** TLS versions as Node names them. */
export type RuntimeTlsVersion = 'TLSv1.2' | 'TLSv1.3';

/** How the peer's certificate is verified. No such object: the peer is not verified at all. */
export interface RuntimeValidation {
  /** Names a {@link RuntimeTrustSecret}; inline contexts get a name of their own from the compiler. */
  readonly secretName: string;
  /** One of them must match; empty means that any certificate of the trusted authorities will do. */
  readonly sanMatchers: readonly RuntimeSanMatcher[];
}

interface RuntimeTlsCommon {
  /** Names of {@link RuntimeCertificateSecret}s; empty on a client that presents none. */
  readonly certificateSecretNames: readonly string[];
  readonly validation: RuntimeValidation | undefined;
  readonly alpn: readonly string[];
  readonly minVersion: RuntimeTlsVersion;
  readonly maxVersion: RuntimeTlsVersion;
  /** OpenSSL names; empty means Node's default list. */
  readonly ciphers: readonly string[];
}

/** TLS terminated by a filter chain. */
export interface RuntimeDownstreamTls extends RuntimeTlsCommon {
  readonly requireClientCertificate: boolean;
  /**
   * Whether a client's certificate must carry exactly one SPIFFE URI (`required`, the default: workload certificates), or may
   * also carry none (`optional`: gateways with certificates of other authorities).
   */
  readonly spiffeIdentity?: 'required' | 'optional';
}

/** TLS originated towards an upstream host. */
export interface RuntimeUpstreamTls extends RuntimeTlsCommon {
  readonly sni: string | undefined;
  /** Send the host's `hostname` as SNI instead. */
  readonly autoHostSni: boolean;
  /** Send the request's host as SNI, when `sni` is unset. */
  readonly autoSni: boolean;
  /** The certificate must carry the request's host as one of its names. */
  readonly autoSanValidation: boolean;
  /** Sessions kept for resumption; 0 turns it off. */
  readonly maxSessionKeys: number;
}

/** A certificate and its key, PEM. */
export interface RuntimeCertificateSecret {
  readonly kind: 'certificate';
  readonly name: string;
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
}

/** What is trusted, PEM. */
export interface RuntimeTrustSecret {
  readonly kind: 'trust';
  readonly name: string;
  readonly trustedCaPem: string;
  /** Revocation lists, one an element; with any, each issuer of a peer's chain must have one. */
  readonly crlPems: readonly string[];
  /** Added to those of the {@link RuntimeValidation} that names this secret. */
  readonly sanMatchers: readonly RuntimeSanMatcher[];
}

/** A secret as workers hold it, by name. */
export type RuntimeSecret = RuntimeCertificateSecret | RuntimeTrustSecret;
