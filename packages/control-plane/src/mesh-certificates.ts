import { type Clock, disposeAll, type Log, MeltemiError, type Random } from '@meltemi/base';
import {
  type CertificateAuthority,
  controlPlaneDnsNames,
  createCertificateAuthority,
  createRevocations,
  createServingCertificate,
  describeExpiry,
  loadCaDirectory,
  loadSelfSignedCa,
  type Revocations,
  type RootRotatorOptions,
  readRevocationFile,
  revocationPath,
  runRootRotator,
  type SecretStore,
  type ServingCertificate,
  watchCaDirectory,
} from '@meltemi/citadel';
import type { RootSource } from './duties/root-source.ts';

/** What {@link loadMeshCertificates} reads. */
export interface MeshCertificateOptions {
  readonly caDirectory: string;
  readonly secrets: SecretStore;
  readonly trustDomain: string;
  readonly namespace: string;
  readonly revision: string;
  readonly customHosts: readonly string[];
  /** Accepts roots that contain, or are contained in, those in force. */
  readonly multiRoot: boolean;
  /** Reads the revocation lists beside a plugged-in CA. */
  readonly takesRevocations: boolean;
  readonly rotation: Pick<RootRotatorOptions, 'checkIntervalMs' | 'gracePercent' | 'jitter'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The certificate authority, and what the control plane itself presents. */
export interface MeshCertificates extends AsyncDisposable {
  readonly ca: CertificateAuthority;
  readonly serving: ServingCertificate;
  readonly roots: RootSource;
  /** `undefined` without a plugged-in CA, and where they are turned off. */
  readonly revocations: Revocations | undefined;
}

/** Loads the plugged-in signing CA, or the self-signed one, and issues the control plane's own certificate. */
export async function loadMeshCertificates(options: MeshCertificateOptions): Promise<MeshCertificates> {
  const { caDirectory, secrets, trustDomain, namespace, revision, customHosts, multiRoot, clock, random, log } =
    options;
  const pluggedIn = await loadCaDirectory(caDirectory);
  const bundle = pluggedIn ?? (await loadSelfSignedCa({ secrets, trustDomain, clock, log }));
  if (pluggedIn !== undefined && pluggedIn.notAfterMs <= clock.nowMs())
    throw new MeltemiError('CA_BUNDLE_INVALID', `Cannot start the CA: ${describeExpiry(caDirectory, pluggedIn)}`);
  const ca = createCertificateAuthority({ bundle, clock, multiRoot });
  const serving = createServingCertificate({
    ca,
    clock,
    log,
    dnsNames: controlPlaneDnsNames(namespace, revision, customHosts),
  });
  const revocations =
    pluggedIn === undefined || !options.takesRevocations ? undefined : await loadRevocations(options, ca);
  const watched = { directory: caDirectory, ca, revocations, clock, log };
  const watcher = pluggedIn === undefined ? undefined : watchCaDirectory(watched);
  const stop = new AbortController();
  const rotating =
    pluggedIn === undefined
      ? runRootRotator({ ca, secrets, clock, random, log, ...options.rotation }, stop.signal)
      : Promise.resolve();
  log.info('Signing CA loaded', {
    from: pluggedIn === undefined ? 'self-signed' : caDirectory,
    serial: bundle.certificate.serialNumber,
    expires: new Date(bundle.notAfterMs).toISOString(),
  });
  return {
    ca,
    serving,
    roots: { rootPem: () => ca.bundle().rootPem, onChange: (listener) => ca.onChange(listener) },
    revocations,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await rotating;
      const parts = [serving, ...(watcher === undefined ? [] : [watcher])];
      await disposeAll(
        parts.map((part) => ({ [Symbol.asyncDispose]: async () => part[Symbol.dispose]() })),
        (message) => log.warn(message),
      );
    },
  };
}

async function loadRevocations(
  { caDirectory, clock, log }: MeshCertificateOptions,
  ca: CertificateAuthority,
): Promise<Revocations> {
  const revocations = createRevocations({ ca, path: revocationPath(caDirectory), clock, log });
  revocations.offer(await readRevocationFile(caDirectory));
  return revocations;
}
