import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of a certificate and its key. */
export interface IssuedFiles {
  readonly certificatePath: string;
  readonly keyPath: string;
}

/** Makes keys and certificates of one test cluster with openssl. */
export interface TestPki {
  readonly directory: string;
  /** Issues a client certificate; `name` is the file name without ending. */
  issueClient(name: string, subject: string): IssuedFiles;
  /** Issues a server certificate; `alternativeNames` as openssl writes them: `DNS:a.b`, `IP:127.0.0.1`. */
  issueServer(name: string, alternativeNames: readonly string[]): IssuedFiles;
}

const SERVER_NAMES =
  'IP:127.0.0.1,IP:10.111.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local';

function openssl(directory: string, args: readonly string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
}

function issue(directory: string, name: string, subject: string, extensions: string): void {
  writeFileSync(join(directory, `${name}.ext`), extensions);
  openssl(directory, [
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.csr`,
    '-subj',
    subject,
  ]);
  openssl(directory, [
    'x509',
    '-req',
    '-in',
    `${name}.csr`,
    '-CA',
    'ca.crt',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-days',
    '2',
    '-out',
    `${name}.crt`,
    '-extfile',
    `${name}.ext`,
  ]);
}

/** Creates the files that the API server reads from its `--pki` folder, and a way to make more. */
export function createTestPki(directory: string): TestPki {
  mkdirSync(directory, { recursive: true });
  openssl(directory, [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
    '-days',
    '2',
    '-subj',
    '/CN=test-ca',
  ]);
  openssl(directory, ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'sa.key']);
  issue(directory, 'apiserver', '/CN=kube-apiserver', `subjectAltName=${SERVER_NAMES}\nextendedKeyUsage=serverAuth\n`);
  const filesOf = (name: string): IssuedFiles => ({
    certificatePath: join(directory, `${name}.crt`),
    keyPath: join(directory, `${name}.key`),
  });
  const issueClient: TestPki['issueClient'] = (name, subject) => {
    if (!existsSync(join(directory, `${name}.crt`))) issue(directory, name, subject, 'extendedKeyUsage=clientAuth\n');
    return filesOf(name);
  };
  issueClient('apiserver-kubelet-client', '/O=system:masters/CN=kube-apiserver-kubelet-client');
  return {
    directory,
    issueClient,
    issueServer(name, alternativeNames) {
      issue(
        directory,
        name,
        `/CN=${name}`,
        `subjectAltName=${alternativeNames.join(',')}\nextendedKeyUsage=serverAuth\n`,
      );
      return filesOf(name);
    },
  };
}
