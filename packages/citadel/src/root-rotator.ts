import { createPublicKey, type X509Certificate } from 'node:crypto';
import { type Clock, type Log, MeltemiError, messageOf, type Random, sleep } from '@meltemi/base';
import type { CertificateAuthority } from './certificate-authority.ts';
import { renewRootCertificateAuthority } from './mint-authority.ts';
import { parseRootSecret, SELF_SIGNED_SECRET_NAME, type SecretStore, toRootSecret } from './self-signed-ca.ts';
import type { SigningBundle } from './signing-bundle.ts';

/** What {@link runRootRotator} works with. */
export interface RootRotatorOptions {
  readonly ca: CertificateAuthority;
  readonly secrets: SecretStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Zero or less: the root is never looked at. */
  readonly checkIntervalMs: number;
  /** The root is renewed when less than this part of its life is left, in percent. */
  readonly gracePercent: number;
  /** Whether the first look comes after a random part of the interval, so that replicas do not look all at once. */
  readonly jitter: boolean;
}

/**
 * Looks after the self-signed root until the signal aborts: renews it in time, and takes over what another replica has
 * renewed. The key stays, so every certificate that was signed before goes on being valid.
 */
export async function runRootRotator(options: RootRotatorOptions, signal: AbortSignal): Promise<void> {
  const { clock, random, log, checkIntervalMs, jitter } = options;
  if (checkIntervalMs <= 0) return;
  await sleep(clock, checkIntervalMs * (jitter ? random() : 1), signal);
  while (!signal.aborted) {
    try {
      await checkRoot(options);
    } catch (error) {
      log.error('Cannot look after the self-signed root; the present one stays in force', { error: messageOf(error) });
    }
    await sleep(clock, checkIntervalMs, signal);
  }
}

/** Looks at the root once. */
export async function checkRoot({ ca, secrets, clock, log, gracePercent }: RootRotatorOptions): Promise<void> {
  const stored = await secrets.read(SELF_SIGNED_SECRET_NAME);
  if (stored === undefined) {
    throw new MeltemiError('CA_NOT_READY', `Secret ${SELF_SIGNED_SECRET_NAME} is gone; put it back, or restart`);
  }
  const kept = parseRootSecret(stored);
  if (!isDue(kept, gracePercent, clock.nowMs())) {
    // Another replica was faster.
    if (kept.certificate.fingerprint256 !== ca.bundle().certificate.fingerprint256) adopt(ca, kept, log);
    return;
  }
  const renewed = toRootSecret(
    renewRootCertificateAuthority(
      { certificatePem: stored.data['ca-cert.pem'] ?? '', keyPem: stored.data['ca-key.pem'] ?? '' },
      clock.nowMs(),
    ),
  );
  // Checked before it is written: what is written is what every replica goes by.
  const bundle = parseRootSecret(renewed);
  if (!(await secrets.replace(SELF_SIGNED_SECRET_NAME, renewed, stored.resourceVersion))) {
    log.info('Another replica renews the self-signed root; it is taken over with the next look');
    return;
  }
  adopt(ca, bundle, log);
}

function adopt(ca: CertificateAuthority, bundle: SigningBundle, log: Log): void {
  const isSameKey = createPublicKey(bundle.key).equals(createPublicKey(ca.bundle().key));
  if (!isSameKey) {
    throw new MeltemiError(
      'CA_BUNDLE_INVALID',
      `Secret ${SELF_SIGNED_SECRET_NAME} holds a root with another key, which would cut running workloads off; restart to use it`,
    );
  }
  const replaced = ca.replaceBundle(bundle, { isRenewedRoot: true });
  if (!replaced.ok) throw new MeltemiError('CA_BUNDLE_INVALID', replaced.error);
  log.info('The self-signed root is renewed, with the same key', {
    serial: bundle.certificate.serialNumber,
    expires: new Date(bundle.notAfterMs).toISOString(),
  });
}

function isDue(
  { certificate }: { readonly certificate: X509Certificate },
  gracePercent: number,
  nowMs: number,
): boolean {
  const endMs = Date.parse(certificate.validTo);
  const lifeMs = endMs - Date.parse(certificate.validFrom);
  return endMs - nowMs < (lifeMs * gracePercent) / 100;
}
