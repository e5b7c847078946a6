import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate and its key, PEM. */
export interface SelfSignedPair {
  readonly chain: string;
  readonly key: string;
}

/** Makes a certificate that trusts itself, with the program openssl. */
export function createSelfSignedPair(name: string): SelfSignedPair {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-pair-'));
  try {
    const [chain, key] = [join(directory, 'crt'), join(directory, 'key')];
    const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    execFileSync('openssl', [...args, '-subj', `/CN=${name}`, '-keyout', key, '-out', chain], { stdio: 'ignore' });
    return { chain: readFileSync(chain, 'utf8'), key: readFileSync(key, 'utf8') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
