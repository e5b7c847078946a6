import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate and its key, PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** A certificate authority of a test. */
export interface AuthorityFixture extends Disposable {
  readonly certificate: string;
  /** With the authority's own key, as for revocation lists. */
  readonly pair: { readonly certificatePem: string; readonly keyPem: string };
  /** @param names Subject alternative names as OpenSSL writes them: `URI:spiffe://…`, `DNS:a`. */
  issue(names: readonly string[]): KeyPair;
}

/** Makes an authority with the program openssl, which every machine of ours has; Node itself cannot issue certificates. */
export function createAuthorityFixture(name: string): AuthorityFixture {
  const directory = mkdtempSync(join(tmpdir(), 'proxy-authority-'));
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  };
  const read = (file: string): string => readFileSync(join(directory, file), 'utf8');
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '30', '-subj', `/O=${name}`);
  return {
    certificate: read('ca.crt'),
    pair: { certificatePem: read('ca.crt'), keyPem: read('ca.key') },
    issue(names) {
      writeFileSync(join(directory, 'san.cnf'), names.length === 0 ? '' : `subjectAltName=${names.join(',')}\n`);
      openssl('req', '-new', ...newKey, '-keyout', 'leaf.key', '-out', 'leaf.csr', '-subj', '/O=leaf');
      const ca = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial'];
      openssl('x509', '-req', '-in', 'leaf.csr', ...ca, '-days', '30', '-extfile', 'san.cnf', '-out', 'leaf.crt');
      return { certificate: read('leaf.crt'), key: read('leaf.key') };
    },
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}
