import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type handleUnaryCall, type ServiceDefinition, status } from '@grpc/grpc-js';
import { err, type Log, messageOf, ok, type Result } from '@meltemi/base';
import {
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from '@meltemi/xds/types/istio/v1/auth/ca_pb.js';
import { authenticateCall } from './authenticate/authenticate-call.ts';
import type { Authenticator, Caller } from './authenticate/authenticator.ts';
import { readCallCredentials } from './authenticate/call-credentials.ts';
import type { ImpersonationAuthorizer } from './authenticate/impersonation.ts';
import type { CertificateAuthority, IssuedCertificate } from './certificate-authority.ts';
import type { SigningErrorCode } from './errors.ts';
import type { CitadelMetrics } from './metrics.ts';

/** The signing service in the two parts that `server.addService` takes. */
export interface CertificateService {
  readonly definition: ServiceDefinition<CertificateServiceHandlers>;
  readonly implementation: CertificateServiceHandlers;
}

/** The methods of `istio.v1.auth.IstioCertificateService`. */
export interface CertificateServiceHandlers {
  readonly createCertificate: handleUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;
  // grpc-js asks for an index signature on every implementation.
  readonly [method: string]: handleUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;
}

/** What {@link createCertificateService} works with. */
export interface CertificateServiceOptions {
  readonly ca: CertificateAuthority;
  /** Asked in order; the first that accepts names the caller. */
  readonly authenticators: readonly Authenticator[];
  /** Decides about callers that ask for a certificate of somebody else. Default: none may. */
  readonly impersonation?: ImpersonationAuthorizer;
  readonly log: Log;
  readonly metrics?: CitadelMetrics;
}

/** The path of the one method, as HTTP/2 sees it. */
export const CREATE_CERTIFICATE_PATH = '/istio.v1.auth.IstioCertificateService/CreateCertificate';

const STATUS_OF: Readonly<Record<SigningErrorCode, status>> = {
  CSR_ERROR: status.INVALID_ARGUMENT,
  TTL_ERROR: status.INVALID_ARGUMENT,
  CA_NOT_READY: status.INTERNAL,
  CERT_GEN_ERROR: status.INTERNAL,
};

interface Refusal {
  readonly code: status;
  readonly details: string;
}

/**
 * Creates the service that signs workloads' certificates.
 *
 * The certificate names the authenticated caller and nobody else; of the request only the public key and the lifetime
 * count. Why a caller was not accepted goes to the log, not to the caller.
 */
export function createCertificateService(options: CertificateServiceOptions): CertificateService {
  const { log, metrics } = options;
  const definition: ServiceDefinition<CertificateServiceHandlers> = {
    createCertificate: {
      path: CREATE_CERTIFICATE_PATH,
      requestStream: false,
      responseStream: false,
      requestSerialize: (message) => Buffer.from(toBinary(IstioCertificateRequestSchema, message)),
      requestDeserialize: (bytes) => fromBinary(IstioCertificateRequestSchema, bytes),
      responseSerialize: (message) => Buffer.from(toBinary(IstioCertificateResponseSchema, message)),
      responseDeserialize: (bytes) => fromBinary(IstioCertificateResponseSchema, bytes),
    },
  };
  const createCertificate: CertificateServiceHandlers['createCertificate'] = (call, respond) => {
    metrics?.csrReceived();
    const answer = async (): Promise<Result<IstioCertificateResponse, Refusal>> => {
      const caller = await authenticateCall(options.authenticators, readCallCredentials(call));
      return caller.ok
        ? sign(options, call.request, caller.value)
        : refuseCaller(options, caller.error, call.getPeer());
    };
    answer().then(
      (result) => (result.ok ? respond(null, result.value) : respond(result.error)),
      (error: unknown) => {
        log.error('Signing failed', { error: messageOf(error) });
        respond({ code: status.INTERNAL, details: 'internal error' });
      },
    );
  };
  return { definition, implementation: { createCertificate } };
}

function refuseCaller(
  { log, metrics }: CertificateServiceOptions,
  reason: string,
  peer: string,
): Result<never, Refusal> {
  metrics?.authenticationFailed();
  log.warn('Signing request refused: the caller is not authenticated', { reason, peer });
  return err({ code: status.UNAUTHENTICATED, details: 'request authenticate failure' });
}

async function sign(
  options: CertificateServiceOptions,
  request: IstioCertificateRequest,
  caller: Caller,
): Promise<Result<IstioCertificateResponse, Refusal>> {
  const { ca, log, metrics } = options;
  const names = await namesFor(options, request, caller);
  if (!names.ok) {
    metrics?.authenticationFailed();
    log.warn('Signing request refused: the caller may not act for somebody else', {
      reason: names.error,
      caller: caller.identities,
    });
    // Why is nobody's business who asks for what is not his.
    return err({ code: status.UNAUTHENTICATED, details: 'request impersonation authentication failure' });
  }
  const ttlMs = Number(request.validityDuration) * 1000;
  const issued = ca.signWorkload({ csrPem: request.csr, names: names.value, ttlMs });
  if (!issued.ok) {
    const { code, message } = issued.error;
    metrics?.signingFailed(code);
    log.warn('Signing request failed', { code, reason: message, caller: caller.identities });
    return err({ code: STATUS_OF[code], details: `CSR signing error (${code}: ${message})` });
  }
  metrics?.certificateIssued();
  log.debug('Certificate issued', { names: names.value, caller: caller.identities, serial: issued.value.serialNumber });
  return { ok: true, value: toResponse(issued.value) };
}

/** Whom the certificate is to name: the caller, or whom it may act for. */
async function namesFor(
  { impersonation }: CertificateServiceOptions,
  { metadata }: IstioCertificateRequest,
  caller: Caller,
): Promise<Result<readonly string[]>> {
  const wanted = metadata?.['ImpersonatedIdentity'];
  if (wanted === undefined || wanted === '') return ok(caller.identities);
  if (typeof wanted !== 'string') return err('the identity asked for is no text');
  if (impersonation === undefined) return err('no account is trusted to act for others');
  const allowed = await impersonation.authorize(caller, wanted);
  return allowed.ok ? ok([wanted]) : allowed;
}

function toResponse({ certificatePem, chain, rootPem }: IssuedCertificate): IstioCertificateResponse {
  return create(IstioCertificateResponseSchema, { certChain: [certificatePem, ...chain, rootPem] });
}
