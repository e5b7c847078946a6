import { type Clock, type ClockTimer, type Log, MeltemiError } from '@meltemi/base';
import type { CertificateAuthority } from './certificate-authority.ts';
import { exportPrivateKey, generateKeyLike } from './mint-authority.ts';
import { SELF_SIGNED_ROOT_TTL_MS } from './self-signed-ca.ts';

/** What a TLS server of the control plane presents, and what it checks clients against. */
export interface ServingPair {
  /** Leaf and chain, PEM. */
  readonly certificateChainPem: string;
  readonly keyPem: string;
  readonly rootPem: string;
}

/** The control plane's own certificate, renewed when the CA changes and at half of its life. */
export interface ServingCertificate extends Disposable {
  current(): ServingPair;
  /** Calls back after every renewal. Returns the function that ends it. */
  onChange(listener: (pair: ServingPair) => void): () => void;
}

/** What {@link createServingCertificate} works with. */
export interface ServingCertificateOptions {
  readonly ca: CertificateAuthority;
  readonly clock: Clock;
  readonly log: Log;
  readonly dnsNames: readonly string[];
  /** @default the self-signed root's lifetime, cut to the signer's own */
  readonly ttlMs?: number;
}

/** Longest delay of a Node timer; longer waits are made of several. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * The DNS names under which workloads reach the control plane.
 *
 * @param revision Left out for the default revision.
 * @param customHosts Further names, from `ISTIOD_CUSTOM_HOST`.
 */
export function controlPlaneDnsNames(
  namespace: string,
  revision?: string,
  customHosts: readonly string[] = [],
): readonly string[] {
  const services = ['istiod', 'istiod-remote', 'istio-pilot'];
  if (revision !== undefined && revision !== '' && revision !== 'default') services.push(`istiod-${revision}`);
  return [...new Set([...services.map((service) => `${service}.${namespace}.svc`), ...customHosts])];
}

/**
 * Issues the control plane's serving certificate with a key of the signer's family.
 *
 * @throws MeltemiError with the CA's code when the first certificate cannot be issued.
 */
export function createServingCertificate(options: ServingCertificateOptions): ServingCertificate {
  const { ca, clock, log, dnsNames, ttlMs = SELF_SIGNED_ROOT_TTL_MS } = options;
  const listeners = new Set<(pair: ServingPair) => void>();
  let timer: ClockTimer | undefined;

  const issue = (): ServingPair => {
    const { privateKey, publicKey } = generateKeyLike(ca.bundle().key);
    const issued = ca.issue({ publicKey: publicKey.export({ format: 'der', type: 'spki' }), names: dnsNames, ttlMs });
    if (!issued.ok) {
      throw new MeltemiError(
        issued.error.code,
        `Cannot issue the control plane's certificate: ${issued.error.message}`,
      );
    }
    const { certificatePem, chain, rootPem, notAfterMs } = issued.value;
    timer?.cancel();
    timer = clock.setTimer(renew, Math.min(MAX_TIMER_MS, (notAfterMs - clock.nowMs()) / 2));
    return { certificateChainPem: [certificatePem, ...chain].join(''), keyPem: exportPrivateKey(privateKey), rootPem };
  };
  const renew = (): void => {
    try {
      pair = issue();
    } catch (error) {
      log.error('Cannot renew the serving certificate, the previous one stays in use', { error });
      timer = clock.setTimer(renew, 60_000);
      return;
    }
    for (const listener of listeners) listener(pair);
  };
  let pair = issue();
  const stopFollowing = ca.onChange(renew);
  return {
    current: () => pair,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    [Symbol.dispose]() {
      stopFollowing();
      timer?.cancel();
    },
  };
}
