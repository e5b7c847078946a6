/** The files that a secret's name speaks of. */
export interface FileSecretName {
  readonly kind: 'certificate' | 'roots';
  /** Of a certificate two, the chain's and the key's, unless the name is malformed. */
  readonly paths: readonly string[];
}

const CERTIFICATE_PREFIX = 'file-cert:';
const ROOTS_PREFIX = 'file-root:';
/** The roots that come with the operating system. */
const SYSTEM_ROOTS = 'file-root:system';
const SEPARATOR = '~';

/** Where distributions keep their roots, the most frequent first. */
const SYSTEM_BUNDLES: readonly string[] = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** What {@link parseFileSecretName} finds files by. */
export interface FileSecretPlaces {
  /** The path of a file that a name speaks of. */
  readonly resolve: (path: string) => string;
  readonly exists: (path: string) => boolean;
}

/**
 * Reads `file-cert:<certificate>~<key>` and `file-root:<ca>`, by which control planes name secrets in files beside a proxy.
 *
 * @returns `undefined` for the names of other secrets.
 * @see Istio, pkg/security/security.go (names of secrets in files)
 */
export function parseFileSecretName(name: string, { resolve, exists }: FileSecretPlaces): FileSecretName | undefined {
  if (name === SYSTEM_ROOTS) return { kind: 'roots', paths: SYSTEM_BUNDLES.filter(exists).slice(0, 1) };
  const [kind, text] = name.startsWith(CERTIFICATE_PREFIX)
    ? (['certificate', name.slice(CERTIFICATE_PREFIX.length)] as const)
    : (['roots', name.slice(ROOTS_PREFIX.length)] as const);
  if (kind === 'roots' && !name.startsWith(ROOTS_PREFIX)) return undefined;
  const paths = kind === 'certificate' ? text.split(SEPARATOR) : [text];
  return { kind, paths: paths.filter((path) => path !== '').map(resolve) };
}
