import { createPrivateKey, X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { text as textOf } from 'node:stream/consumers';
import { certificatesOf } from '../identity/pem-bundle.ts';
import type { FileSecretName } from './file-secret-name.ts';
import type { SecretContent } from './secret-resources.ts';

/** More than a ConfigMap or Secret can hold. */
const MAX_BYTES = 1 << 20;

/**
 * Reads a secret from its files. Only what the secret is made of is taken: whoever may name files could otherwise have any file
 * sent to the proxy.
 *
 * @throws Error that names the file, when one is missing, half written, too large or something else.
 */
export async function readFileSecret({ kind, paths }: FileSecretName): Promise<SecretContent> {
  const [first, second] = paths;
  if (kind === 'roots') {
    if (first === undefined) throw new Error('no file is named, or the system has no roots');
    return { kind, rootPem: rootsIn(first, await readBounded(first)), crlPem: undefined };
  }
  if (first === undefined || second === undefined || paths.length > 2)
    throw new Error('the name must have a certificate and a key, with one ~ between them');
  const certificateChainPem = chainIn(first, await readBounded(first));
  const privateKeyPem = await readBounded(second);
  if (!new X509Certificate(certificateChainPem).checkPrivateKey(keyIn(second, privateKeyPem)))
    throw new Error(`${first} is not for the key in ${second}`);
  return { kind, certificateChainPem, privateKeyPem };
}

/** Differs after every change of a file, also when a link on the way to it was swapped. */
export async function signatureOf(paths: readonly string[]): Promise<string> {
  const signatures = paths.map(async (path) => {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
      return [dev, ino, size, mtimeNs, ctimeNs].join(':');
    } catch {
      return 'unreadable';
    }
  });
  return (await Promise.all(signatures)).join('|');
}

/** Reads a regular file; what is opened never blocks, as a named pipe would. */
async function readBounded(path: string): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if (!(await file.stat()).isFile()) throw new Error(`${path} is not a regular file`);
  const text = await textOf(file.createReadStream({ start: 0, end: MAX_BYTES, autoClose: false }));
  if (Buffer.byteLength(text) > MAX_BYTES) throw new Error(`${path} has more than ${MAX_BYTES} bytes`);
  return text;
}

function chainIn(path: string, pem: string): string {
  const certificates = certificatesOf(pem);
  if (certificates.length === 0 || certificates.length !== countBegins(pem))
    throw new Error(`${path} is not a chain of whole certificates`);
  return certificates.join('');
}

/** Certificates in a bundle that cannot be read are left out, as long as there are others; a torn one means that it is being written. */
function rootsIn(path: string, pem: string): string {
  const certificates = certificatesOf(pem);
  if (certificates.length === 0) throw new Error(`${path} has no certificate`);
  if (countBegins(pem) !== pem.split('-----END CERTIFICATE-----').length - 1)
    throw new Error(`${path} ends within a certificate`);
  return certificates.join('');
}

function countBegins(pem: string): number {
  return pem.split('-----BEGIN CERTIFICATE-----').length - 1;
}

function keyIn(path: string, pem: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new Error(`${path} is not a private key without a password`, { cause });
  }
}
