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

/**
 * Makes a certificate revocation list with the program openssl.
 *
 * @param revokedPems The certificates that are revoked.
 * @param days Days until the next list is due. Default 30.
 * @returns PEM.
 */
export function createRevocationList(
  { certificatePem, keyPem }: RevokingAuthority,
  revokedPems: readonly string[] = [],
  days = 30,
): string {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-crl-'));
  const files: Readonly<Record<string, string>> = {
    'ca.pem': certificatePem,
    'ca.key': keyPem,
    // A database of openssl: revoked, valid until, revoked at, serial number, file, subject.
    'index.txt': revokedPems
      .map((pem) => `R\t351231235959Z\t250101000000Z\t${new X509Certificate(pem).serialNumber}\tunknown\t/O=leaf\n`)
      .join(''),
    'openssl.cnf': '[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ndefault_md=sha256\n',
  };
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    const keys = ['-cert', 'ca.pem', '-keyfile', 'ca.key', '-config', 'openssl.cnf'];
    const args = ['ca', '-gencrl', ...keys, '-crldays', String(days), '-out', 'list.pem'];
    execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
    return readFileSync(join(directory, 'list.pem'), 'utf8');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
