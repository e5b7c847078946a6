import type { Result } from '@meltemi/base';

/** What a call brings along to prove who makes it. */
export interface CallCredentials {
  /** DER of the client certificate, only when the TLS layer verified it against the mesh's roots. */
  readonly verifiedCertificate?: Uint8Array;
  /** The `Authorization: Bearer` value. */
  readonly bearerToken?: string;
  /** The `clusterid` metadata: the cluster whose API server issued the token. */
  readonly clusterId?: string;
}

/** Who makes a call. */
export interface Caller {
  /** The names that the caller may be certified for, never empty. */
  readonly identities: readonly string[];
  /** The authenticator that vouches for them. */
  readonly source: string;
  /** The pod that the token is bound to, when it names one. */
  readonly pod?: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly clusterId: string;
  };
}

/** One way to prove an identity. */
export interface Authenticator {
  readonly name: string;
  /** @returns The caller, or why this authenticator does not accept the credentials. Nothing in the reason is secret. */
  authenticate(credentials: CallCredentials): Promise<Result<Caller>>;
}
