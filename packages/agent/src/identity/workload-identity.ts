import { generateKeyPair, type KeyObject, X509Certificate } from 'node:crypto';
import { promisify } from 'node:util';
import { type Clock, createBackoff, type Log, MeltemiError, messageOf, type Random, sleep } from '@meltemi/base';
import type { CaClient } from './ca-client.ts';
import { buildSigningRequest } from './signing-request.ts';

const generateKeyPairAsync = promisify(generateKeyPair);

/** A workload's key, certificate chain and roots: always of one answer, never mixed. */
export interface WorkloadSecret {
  readonly privateKeyPem: string;
  /** Leaf first. */
  readonly certificateChainPem: string;
  readonly rootPem: string;
  readonly serialNumber: string;
  readonly notAfterMs: number;
  /** Counts the secrets of this process from 1. */
  readonly generation: number;
}

/** The kind of key that workloads generate. */
export type WorkloadKeyType = 'ec-p256' | 'rsa-2048';

/** Holds the workload's secret and renews it in time. */
export interface WorkloadIdentity {
  /** `undefined` until the CA has signed for the first time. */
  current(): WorkloadSecret | undefined;
  /** Calls back with every new secret. Returns the function that ends it. */
  onChange(listener: (secret: WorkloadSecret) => void): () => void;
  /** Obtains the next secret now, before its time. */
  renew(): void;
  /** Obtains and renews until the signal; never fails, only tries again. */
  run(signal: AbortSignal): Promise<void>;
}

/** What {@link createWorkloadIdentity} works with; the defaults are those of Istio's agent. */
export interface WorkloadIdentityOptions {
  readonly ca: CaClient;
  readonly spiffeUri: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The lifetime to ask for. @default 24 h */
  readonly ttlMs?: number;
  /** The part of the lifetime that is left when the secret is renewed. @default 0.5 */
  readonly graceRatio?: number;
  /** Spread of that part, so that workloads started together do not renew together. @default 0.01 */
  readonly graceJitterRatio?: number;
  /** @default 'ec-p256' */
  readonly keyType?: WorkloadKeyType;
}

const DEFAULT_TTL_MS = 24 * 3_600_000;
/** Longest delay of one Node timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Creates the keeper of a workload's secret. It does nothing before {@link WorkloadIdentity.run}. */
export function createWorkloadIdentity(options: WorkloadIdentityOptions): WorkloadIdentity {
  const { clock, random, log } = options;
  const listeners = new Set<(secret: WorkloadSecret) => void>();
  let secret: WorkloadSecret | undefined;
  let due = new AbortController();

  const obtain = async (signal: AbortSignal): Promise<number> => {
    const issuedAtMs = clock.nowMs();
    const next = await obtainSecret(options, (secret?.generation ?? 0) + 1, signal);
    secret = next;
    log.info('Workload certificate issued', {
      serial: next.serialNumber,
      notAfter: new Date(next.notAfterMs).toISOString(),
    });
    for (const listener of listeners) listener(next);
    return renewalDelayMs(options, next.notAfterMs - issuedAtMs);
  };
  return {
    current: () => secret,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    renew: () => due.abort(),
    async run(signal) {
      const backoff = createBackoff({ baseMs: 200, maxMs: 10_000, random });
      while (!signal.aborted) {
        let pauseMs: number;
        due = new AbortController();
        try {
          pauseMs = await obtain(signal);
          backoff.reset();
        } catch (error) {
          if (signal.aborted) return;
          pauseMs = backoff.nextMs();
          log.warn('Cannot obtain a workload certificate, trying again', {
            error: messageOf(error),
            retryInMs: Math.round(pauseMs),
          });
        }
        await sleep(clock, Math.min(pauseMs, MAX_TIMER_MS), AbortSignal.any([signal, due.signal]));
      }
    },
  };
}

/** How long after issue a secret is renewed: its lifetime less the grace part, jittered and held within 0..1. */
export function renewalDelayMs(
  {
    random,
    graceRatio = 0.5,
    graceJitterRatio = 0.01,
  }: Pick<WorkloadIdentityOptions, 'random' | 'graceRatio' | 'graceJitterRatio'>,
  lifetimeMs: number,
): number {
  const ratio = Math.min(1, Math.max(0, graceRatio + (random() * 2 - 1) * graceJitterRatio));
  return Math.max(0, lifetimeMs * (1 - ratio));
}

async function obtainSecret(
  options: WorkloadIdentityOptions,
  generation: number,
  signal: AbortSignal,
): Promise<WorkloadSecret> {
  const { ca, spiffeUri, ttlMs = DEFAULT_TTL_MS, keyType = 'ec-p256' } = options;
  const privateKey = await generateKey(keyType);
  const { certificateChainPem, rootPem } = await ca.sign(buildSigningRequest(spiffeUri, privateKey), ttlMs, signal);
  const leaf = parseLeaf(certificateChainPem, privateKey);
  return {
    privateKeyPem: privateKey.export({ format: 'pem', type: keyType === 'ec-p256' ? 'sec1' : 'pkcs1' }).toString(),
    certificateChainPem,
    rootPem,
    serialNumber: leaf.serialNumber,
    notAfterMs: Date.parse(leaf.validTo),
    generation,
  };
}

async function generateKey(keyType: WorkloadKeyType): Promise<KeyObject> {
  const { privateKey } =
    keyType === 'ec-p256'
      ? await generateKeyPairAsync('ec', { namedCurve: 'P-256' })
      : await generateKeyPairAsync('rsa', { modulusLength: 2048 });
  return privateKey;
}

function parseLeaf(chainPem: string, privateKey: KeyObject): X509Certificate {
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(chainPem);
  } catch (error) {
    throw new MeltemiError('CA_RESPONSE_INVALID', 'Cannot read the certificate that the CA sent', { cause: error });
  }
  if (leaf.checkPrivateKey(privateKey)) return leaf;
  throw new MeltemiError('CA_RESPONSE_INVALID', 'Cannot use the certificate that the CA sent: it is for another key');
}
