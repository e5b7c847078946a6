import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type ClockTimer, type Log, MeltemiError, messageOf } from '@meltemi/base';
import type { CertificateAuthority } from './certificate-authority.ts';
import type { Revocations } from './revocations.ts';
import { parseSigningBundle, type SigningBundle, type SigningBundleFiles } from './signing-bundle.ts';

/** Where the four parts lie, by the layouts of a mounted Secret. */
const MESH_LAYOUT = { certificate: 'ca-cert.pem', key: 'ca-key.pem', chain: 'cert-chain.pem', root: 'root-cert.pem' };
const REVOCATION_FILE = 'ca-crl.pem';
const TLS_LAYOUT = { certificate: 'tls.crt', key: 'tls.key', root: 'ca.crt' };

/** Pause after the last change of the directory before it is read: a mount changes file by file. */
const DEBOUNCE_MS = 100;

/**
 * Reads the plugged-in signing CA from a mounted directory.
 *
 * @returns `undefined` when the directory is absent or holds none of the files: the CA is then self-signed.
 * @throws MeltemiError `CA_BUNDLE_INCOMPLETE` when some files are missing, `CA_BUNDLE_INVALID` when they do not fit together.
 */
export async function loadCaDirectory(directory: string): Promise<SigningBundle | undefined> {
  const files = await readCaDirectory(directory);
  if (files === undefined) return undefined;
  const bundle = parseSigningBundle(files);
  if (bundle.ok) return bundle.value;
  throw new MeltemiError('CA_BUNDLE_INVALID', `Cannot use the signing CA in ${directory}: ${bundle.error}`);
}

/** Where a directory has its revocation lists. */
export function revocationPath(directory: string): string {
  return join(directory, REVOCATION_FILE);
}

/** The revocation lists beside the signing CA, as they are; the layout of TLS Secrets has none. */
export async function readRevocationFile(directory: string): Promise<string | undefined> {
  const isTlsLayout = (await readOptional(join(directory, TLS_LAYOUT.certificate))) !== undefined;
  return isTlsLayout ? undefined : readOptional(revocationPath(directory));
}

/** What is wrong with a signing CA whose time is over, and what to do. */
export function describeExpiry(directory: string, bundle: SigningBundle): string {
  const expiredAt = new Date(bundle.notAfterMs).toISOString();
  return `the signing certificate in ${directory}, or one of its chain, expired at ${expiredAt}; put a valid one there (Secret cacerts)`;
}

/** What {@link watchCaDirectory} works with. */
export interface CaDirectoryWatchOptions {
  readonly directory: string;
  readonly ca: CertificateAuthority;
  /** Offered what the directory has whenever it changes; `undefined`: nobody wants to know. */
  readonly revocations?: Pick<Revocations, 'offer'> | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Follows a plugged-in directory and puts a new intermediate in force while running. What cannot be used is logged and
 * left out: the bundle in force goes on signing.
 *
 * Kubelets swap a whole Secret by renaming the link `..data` in the directory, so the directory is watched, not its files.
 */
export function watchCaDirectory(options: CaDirectoryWatchOptions): Disposable {
  const { directory, revocations, clock, log } = options;
  let timer: ClockTimer | undefined;
  const reload = async (): Promise<void> => {
    try {
      await takeOver(options);
      // After the CA: the lists are checked against it. A directory that cannot be used says nothing of lists either.
      if (revocations !== undefined) revocations.offer(await readRevocationFile(directory));
    } catch (error) {
      log.error('Cannot take over the changed signing CA, the previous one stays in force', {
        directory,
        error: messageOf(error),
      });
    }
  };
  const watcher = watch(directory, () => {
    timer?.cancel();
    timer = clock.setTimer(() => void reload(), DEBOUNCE_MS);
  });
  watcher.on('error', (error) => log.error('Cannot watch the signing CA', { directory, error: messageOf(error) }));
  watcher.unref();
  return {
    [Symbol.dispose]() {
      timer?.cancel();
      watcher.close();
    },
  };
}

async function takeOver({ directory, ca, clock, log }: CaDirectoryWatchOptions): Promise<void> {
  const next = await loadCaDirectory(directory);
  if (next === undefined) throw new MeltemiError('CA_BUNDLE_INCOMPLETE', `${directory} holds no signing CA any more`);
  const current = ca.bundle();
  if (next.certificate.fingerprint256 === current.certificate.fingerprint256 && next.rootPem === current.rootPem)
    return;
  if (next.notAfterMs <= clock.nowMs()) throw new MeltemiError('CA_BUNDLE_INVALID', describeExpiry(directory, next));
  const replaced = ca.replaceBundle(next);
  if (!replaced.ok) throw new MeltemiError('CA_BUNDLE_INVALID', replaced.error);
  log.info('Signing CA replaced', { directory, serial: next.certificate.serialNumber });
}

async function readCaDirectory(directory: string): Promise<SigningBundleFiles | undefined> {
  const tlsCertificate = await readOptional(join(directory, TLS_LAYOUT.certificate));
  if (tlsCertificate !== undefined) {
    const parts = await readParts(directory, TLS_LAYOUT);
    // This layout has no chain file: the chain is the signing certificate followed by the roots.
    return assemble(directory, TLS_LAYOUT, {
      ...parts,
      chain: `${parts['certificate'] ?? ''}\n${parts['root'] ?? ''}`,
    });
  }
  const parts = await readParts(directory, MESH_LAYOUT);
  if (Object.values(parts).every((part) => part === undefined)) return undefined;
  return assemble(directory, MESH_LAYOUT, parts);
}

type Parts = Readonly<Record<string, string | undefined>>;

function assemble(directory: string, layout: Readonly<Record<string, string>>, parts: Parts): SigningBundleFiles {
  const missing = Object.keys(layout).filter((part) => parts[part] === undefined);
  if (missing.length > 0) {
    const names = (keys: readonly string[]): string => keys.map((key) => layout[key]).join(', ');
    const found = names(Object.keys(layout).filter((part) => parts[part] !== undefined));
    throw new MeltemiError(
      'CA_BUNDLE_INCOMPLETE',
      `Cannot start the CA: incomplete signing CA bundle in ${directory}: found ${found}, missing ${names(missing)}; add the missing files, or remove all of them for a self-signed CA`,
      { details: { directory, missing: names(missing) } },
    );
  }
  return {
    signingCertificatePem: parts['certificate'] ?? '',
    signingKeyPem: parts['key'] ?? '',
    chainPem: parts['chain'] ?? '',
    rootPem: parts['root'] ?? '',
  };
}

async function readParts(directory: string, layout: Readonly<Record<string, string>>): Promise<Parts> {
  const entries = Object.entries(layout).map(
    async ([part, file]) => [part, await readOptional(join(directory, file))] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined;
    throw new MeltemiError('CA_BUNDLE_INVALID', `Cannot read ${path}`, { cause: error });
  }
}
