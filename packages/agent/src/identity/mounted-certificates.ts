import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CERTIFICATE_FILES } from './certificate-files.ts';

/** Files that hold a key pair and what its peers are checked against. */
export interface CertificatePaths {
  readonly chain: string;
  readonly key: string;
  readonly root: string;
}

/** Where the certificates of pods and machines may be mounted; a pod's are made for it, `/etc/certs` may be anybody's. */
const MACHINE_DIRECTORY = '/etc/certs';
const MOUNT_DIRECTORIES = ['/var/run/secrets/workload-spiffe-credentials', MACHINE_DIRECTORY];

/** What the places of certificates are read from. */
export interface MountedCertificatesInput {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Paths are below it. */
  readonly root: string;
  /** Replaced in tests. */
  readonly exists?: (path: string) => boolean;
}

/** The files of a directory, by Istio's names. */
export function certificatesIn(directory: string): CertificatePaths {
  const path = (name: keyof typeof CERTIFICATE_FILES): string => join(directory, CERTIFICATE_FILES[name]);
  return { chain: path('chain'), key: path('key'), root: path('root') };
}

/** The files that `FILE_MOUNTED_CERTS` and the node's metadata name; undefined without them. */
export function namedCertificates({ env, root }: MountedCertificatesInput): CertificatePaths | undefined {
  if (env['FILE_MOUNTED_CERTS'] !== 'true') return undefined;
  const fallback = certificatesIn(MACHINE_DIRECTORY);
  const named = (part: string, otherwise: string): string =>
    join(root, env[`ISTIO_META_TLS_CLIENT_${part}`] || env[`ISTIO_META_TLS_SERVER_${part}`] || otherwise);
  return {
    chain: named('CERT_CHAIN', fallback.chain),
    key: named('KEY', fallback.key),
    root: named('ROOT_CERT', fallback.root),
  };
}

/**
 * Finds the workload's certificate where somebody else provides it: what the environment names, or the first directory that has
 * all files. Where the agent itself writes (`OUTPUT_CERTS`) is no such place.
 *
 * @returns Undefined where a certificate has to be asked for.
 */
export function findMountedCertificates(input: MountedCertificatesInput): CertificatePaths | undefined {
  const { env, root, exists = existsSync } = input;
  const named = namedCertificates(input);
  if (named !== undefined) return named;
  const output = env['OUTPUT_CERTS'];
  return MOUNT_DIRECTORIES.map((directory) => resolve(join(root, directory)))
    .filter((directory) => !output || directory !== resolve(join(root, output)))
    .map(certificatesIn)
    .find((paths) => Object.values(paths).every((path: string) => exists(path)));
}
