/** The codes of this package's errors, with what each means to an operator. */
export const CITADEL_ERRORS = {
  CA_BUNDLE_INCOMPLETE: 'The plugged-in signing CA lacks some of its files; the control plane does not start',
  CA_BUNDLE_INVALID:
    'The plugged-in signing CA cannot be used: not a CA, wrong key, or a chain that does not reach the root',
  CSR_ERROR: 'A certificate signing request is malformed, or its signature does not verify',
  TTL_ERROR: 'A certificate signing request asks for a longer lifetime than the CA grants',
  CA_NOT_READY: 'The CA has no usable signing certificate',
  CERT_GEN_ERROR: 'The CA failed to build or sign a certificate',
  UNAUTHENTICATED: 'No authenticator accepted the caller of the signing service',
  SPIFFE_ID_INVALID: 'A text is not a SPIFFE ID of a workload',
} as const;

/** Why the CA refused to sign. */
export type SigningErrorCode = 'CSR_ERROR' | 'TTL_ERROR' | 'CA_NOT_READY' | 'CERT_GEN_ERROR';

/** A refusal to sign, as a value. */
export interface SigningError {
  readonly code: SigningErrorCode;
  readonly message: string;
}
