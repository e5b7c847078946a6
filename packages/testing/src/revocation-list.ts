import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** An authority of a test, PEM. */
export interface RevokingAuthority {
  readonly certificatePem: string;
  readonly keyPem: string;
}

const CONFIGURATION = '[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ndefault_md=sha256\n';
const KEY_EXTENSION = 'crl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid:always\n';

/**
 * Makes a certificate revocation list, due to be replaced in 30 days, with the program openssl.
 *
 * @param revokedPems The certificates that are revoked.
 * @param options.namesKey Whether the list names the authority's key, not its name alone. Default true.
 * @returns PEM.
 */
export function createRevocationList(
  { certificatePem, keyPem }: RevokingAuthority,
  revokedPems: readonly string[] = [],
  { namesKey = true }: { readonly namesKey?: boolean } = {},
): string {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-crl-'));
  const files: Readonly<Record<string, string>> = {
    'ca.pem': certificatePem,
    'ca.key': keyPem,
    // A database of openssl: revoked, valid until, revoked at, serial number, file, subject.
    'index.txt': revokedPems
      .map((pem) => `R\t351231235959Z\t250101000000Z\t${new X509Certificate(pem).serialNumber}\tunknown\t/O=leaf\n`)
      .join(''),
    'openssl.cnf': namesKey ? CONFIGURATION + KEY_EXTENSION : CONFIGURATION,
  };
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    const keys = ['-cert', 'ca.pem', '-keyfile', 'ca.key', '-config', 'openssl.cnf'];
    const args = ['ca', '-gencrl', ...keys, '-crldays', '30', '-out', 'list.pem'];
    execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
    return readFileSync(join(directory, 'list.pem'), 'utf8');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
