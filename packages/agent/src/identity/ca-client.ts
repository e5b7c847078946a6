import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, type ServiceError, status } from '@grpc/grpc-js';
import { type Clock, MeltemiError, messageOf, type Random, sleep } from '@meltemi/base';
import {
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from '@meltemi/xds/types/istio/v1/auth/ca_pb.js';
import { type ControlPlaneAccess, explainFailure, readCredentials, resolveTarget } from './control-plane-channel.ts';
import { describeTokenFile } from './token-facts.ts';

/** What a signing call returned. */
export interface SignedChain {
  /** Leaf and intermediates, PEM. */
  readonly certificateChainPem: string;
  readonly rootPem: string;
}

/** Asks the certificate authority for a certificate. */
export interface CaClient {
  /**
   * Sends one request, and again when the failure is of a kind that may pass: five attempts in all.
   *
   * @throws MeltemiError `CA_UNAVAILABLE`, `CA_REFUSED`, `CA_RESPONSE_INVALID`, `TOKEN_MISSING`, `ROOT_CERT_MISSING`
   */
  sign(csrPem: string, ttlMs: number, signal: AbortSignal): Promise<SignedChain>;
}

/** What {@link createCaClient} works with. */
export interface CaClientOptions {
  readonly access: ControlPlaneAccess;
  readonly clock: Clock;
  readonly random: Random;
}

const METHOD = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
const ATTEMPT_COUNT = 5;
const FIRST_PAUSE_MS = 100;
const CALL_TIMEOUT_MS = 10_000;

const RETRIABLE: ReadonlySet<number> = new Set([
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.INTERNAL,
  status.UNAVAILABLE,
]);

/** Creates a client of `istio.v1.auth.IstioCertificateService`. Every attempt has a channel of its own and re-reads root and token. */
export function createCaClient({ access, clock, random }: CaClientOptions): CaClient {
  return {
    async sign(csrPem, ttlMs, signal) {
      for (let attempt = 1; ; attempt++) {
        try {
          return toSignedChain(await callOnce(access, clock, csrPem, ttlMs));
        } catch (error) {
          const isRetriable = isServiceError(error) ? RETRIABLE.has(error.code) : isUnknown(error);
          if (!isRetriable || attempt === ATTEMPT_COUNT || signal.aborted) throw await toAgentError(error, access);
        }
        const jitter = 1 + (random() * 2 - 1) * 0.1;
        await sleep(clock, FIRST_PAUSE_MS * 2 ** (attempt - 1) * jitter, signal);
      }
    },
  };
}

async function callOnce(
  access: ControlPlaneAccess,
  clock: Clock,
  csrPem: string,
  ttlMs: number,
): Promise<IstioCertificateResponse> {
  const { target, options } = await resolveTarget(access);
  const { channel, metadata, certificate } = await readCredentials(access);
  const client = new Client(target, channel, options);
  try {
    const request = create(IstioCertificateRequestSchema, {
      csr: csrPem,
      validityDuration: BigInt(Math.round(ttlMs / 1000)),
    });
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        METHOD,
        (message: typeof request) => Buffer.from(toBinary(IstioCertificateRequestSchema, message)),
        (bytes) => fromBinary(IstioCertificateResponseSchema, bytes),
        request,
        metadata,
        { deadline: clock.nowMs() + CALL_TIMEOUT_MS },
        (error, response) =>
          response === undefined
            ? reject(error === null ? error : Object.assign(error, { certificate }))
            : resolve(response),
      );
    });
  } finally {
    client.close();
  }
}

function toSignedChain({ certChain }: IstioCertificateResponse): SignedChain {
  const rootPem = certChain.at(-1);
  if (certChain.length < 2 || rootPem === undefined) {
    const message = `Cannot use the CA's answer: it has ${certChain.length} elements, leaf and root are needed`;
    throw new MeltemiError('CA_RESPONSE_INVALID', message);
  }
  return { certificateChainPem: certChain.slice(0, -1).map(withNewline).join(''), rootPem: withNewline(rootPem) };
}

function withNewline(pem: string): string {
  return pem.endsWith('\n') ? pem : `${pem}\n`;
}

function isUnknown(error: unknown): boolean {
  return error instanceof MeltemiError && error.code === 'CONTROL_PLANE_UNKNOWN';
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number';
}

async function toAgentError(error: unknown, access: ControlPlaneAccess): Promise<MeltemiError> {
  const { address, tokenPath, clusterId } = access;
  if (error instanceof MeltemiError) return error;
  if (isServiceError(error) && error.code === status.UNAUTHENTICATED) {
    // The CA tells callers that it does not know nothing; here it is known what they showed.
    const needed = `needed is a valid one for audience istio-ca of cluster ${clusterId}`;
    const credential =
      'certificate' in error && typeof error.certificate === 'string'
        ? `certificate in ${error.certificate}`
        : `token ${await describeTokenFile(tokenPath)}`;
    const shown = `The CA at ${address} did not accept the ${credential}`;
    return new MeltemiError('CA_REFUSED', `${shown}; ${needed}`);
  }
  const isRefusal = isServiceError(error) && !RETRIABLE.has(error.code);
  const what = isRefusal ? `The CA at ${address} refused to sign` : `Cannot reach the CA at ${address}`;
  return new MeltemiError(
    isRefusal ? 'CA_REFUSED' : 'CA_UNAVAILABLE',
    `${what}: ${explainFailure(messageOf(error), access)}`,
  );
}
