import { type Clock, type Log, MeltemiError } from '@meltemi/base';
import { type AuthorityPair, createRootCertificateAuthority } from './mint-authority.ts';
import { parseSigningBundle, type SigningBundle } from './signing-bundle.ts';

/** Name of the Secret that keeps the self-signed root. */
export const SELF_SIGNED_SECRET_NAME = 'istio-ca-secret';
/** Type of that Secret. */
export const SELF_SIGNED_SECRET_TYPE = 'istio.io/ca-root';
/** Lifetime of the self-signed root: 3650 days. */
export const SELF_SIGNED_ROOT_TTL_MS: number = 3650 * 24 * 3_600_000;

/** A Secret as text by key. */
export interface SecretData {
  readonly type: string;
  readonly data: Readonly<Record<string, string>>;
}

/** A Secret that was read, with the version that a replacement must name. */
export interface StoredSecret extends SecretData {
  readonly resourceVersion: string;
}

/** The Secrets of the control plane's namespace, as far as the CA needs them. */
export interface SecretStore {
  /** @returns `undefined` when there is no Secret of this name. */
  read(name: string): Promise<StoredSecret | undefined>;
  /** @returns `false` when the Secret exists already, which another replica may have caused. */
  create(name: string, secret: SecretData): Promise<boolean>;
  /** @returns `false` when the Secret is no longer of this version, or gone. */
  replace(name: string, secret: SecretData, resourceVersion: string): Promise<boolean>;
}

/** What {@link loadSelfSignedCa} works with. */
export interface SelfSignedCaOptions {
  readonly secrets: SecretStore;
  readonly trustDomain: string;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
}

/**
 * Loads the self-signed root that the cluster keeps, or makes and keeps one.
 *
 * Whoever creates the Secret first wins: a replica that loses the race loads what the other wrote.
 *
 * @throws MeltemiError `CA_BUNDLE_INVALID` when the Secret does not hold a usable root.
 */
export async function loadSelfSignedCa({
  secrets,
  trustDomain,
  clock,
  log,
}: SelfSignedCaOptions): Promise<SigningBundle> {
  const existing = await secrets.read(SELF_SIGNED_SECRET_NAME);
  if (existing !== undefined) return parseRootSecret(existing);
  const root = createRootCertificateAuthority({
    organization: trustDomain,
    lifetimeMs: SELF_SIGNED_ROOT_TTL_MS,
    nowMs: clock.nowMs(),
    keyType: 'rsa-2048',
  });
  if (await secrets.create(SELF_SIGNED_SECRET_NAME, toRootSecret(root))) {
    log.info('Created a self-signed root certificate', { secret: SELF_SIGNED_SECRET_NAME });
    return parseRootSecret(toRootSecret(root));
  }
  const winner = await secrets.read(SELF_SIGNED_SECRET_NAME);
  if (winner !== undefined) return parseRootSecret(winner);
  throw new MeltemiError(
    'CA_NOT_READY',
    `Cannot keep the self-signed root: Secret ${SELF_SIGNED_SECRET_NAME} appeared and vanished`,
  );
}

/** The Secret that keeps a self-signed root. */
export function toRootSecret({ certificatePem, keyPem }: AuthorityPair): SecretData {
  // The three empty keys are what other readers of this Secret expect to find.
  const data = {
    'ca-cert.pem': certificatePem,
    'ca-key.pem': keyPem,
    'cert-chain.pem': '',
    'key.pem': '',
    'root-cert.pem': '',
  };
  return { type: SELF_SIGNED_SECRET_TYPE, data };
}

/**
 * The root that a Secret keeps.
 *
 * @throws MeltemiError `CA_BUNDLE_INVALID`
 */
export function parseRootSecret({ data }: SecretData): SigningBundle {
  const certificatePem = data['ca-cert.pem'] ?? '';
  const bundle = parseSigningBundle({
    signingCertificatePem: certificatePem,
    signingKeyPem: data['ca-key.pem'] ?? '',
    chainPem: '',
    rootPem: certificatePem,
  });
  if (bundle.ok) return bundle.value;
  throw new MeltemiError(
    'CA_BUNDLE_INVALID',
    `Cannot use the root in Secret ${SELF_SIGNED_SECRET_NAME}: ${bundle.error}; repair it, or delete it for a new root`,
  );
}
