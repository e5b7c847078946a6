import { createPrivateKey, X509Certificate } from 'node:crypto';
import { messageOf } from '@meltemi/base';
import type { Secret } from '@meltemi/kube';
import { certificatesOf } from '../identity/pem-bundle.ts';
import type { SecretContent } from './secret-resources.ts';

/** What a Secret gives: each by itself, since one may be unsound and the other not. */
export interface Credential {
  readonly certificate: SecretContent | undefined;
  readonly roots: SecretContent | undefined;
}

/** A Secret from which nothing has been taken. */
export const NO_CREDENTIAL: Credential = { certificate: undefined, roots: undefined };

/**
 * Reads a Secret: `tls.crt` and `tls.key`, or `cert` and `key`; `ca.crt` or `cacert`, with `ca.crl` or `crl`.
 *
 * @param before What was taken before: stays where the Secret says nothing, or nothing sound.
 * @param tell Told what is unsound, and what would be sound.
 */
export function readCredential(secret: Secret, before: Credential, tell: (problem: string) => void): Credential {
  const textOf = (...keys: readonly string[]): string | undefined => {
    const found = keys.map((key) => secret.data?.[key]).find((value) => value !== undefined);
    return found === undefined ? undefined : Buffer.from(found, 'base64').toString();
  };
  const read = (what: () => SecretContent | undefined, last: SecretContent | undefined): SecretContent | undefined => {
    try {
      return what() ?? last;
    } catch (error) {
      tell(messageOf(error));
      return last;
    }
  };
  return {
    certificate: read(() => readPair(textOf('tls.crt', 'cert'), textOf('tls.key', 'key')), before.certificate),
    roots: read(() => readRoots(textOf('ca.crt', 'cacert'), textOf('ca.crl', 'crl')), before.roots),
  };
}

function readPair(chainPem: string | undefined, privateKeyPem: string | undefined): SecretContent | undefined {
  if (chainPem === undefined && privateKeyPem === undefined) return undefined;
  if (chainPem === undefined || privateKeyPem === undefined)
    throw new Error('it has a certificate or a key, and not both; give tls.crt and tls.key');
  const chain = certificatesOf(chainPem);
  const [own] = chain;
  if (own === undefined) throw new Error('tls.crt holds no certificate in PEM');
  if (!new X509Certificate(own).checkPrivateKey(keyOf(privateKeyPem)))
    throw new Error('tls.key is not the key of the first certificate in tls.crt');
  return { kind: 'certificate', certificateChainPem: chain.join(''), privateKeyPem };
}

function keyOf(pem: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new Error('tls.key is not a private key in PEM without a password', { cause });
  }
}

function readRoots(pem: string | undefined, crlPem: string | undefined): SecretContent | undefined {
  if (pem === undefined) return undefined;
  const roots = certificatesOf(pem);
  if (roots.length === 0) throw new Error('ca.crt holds no certificate in PEM');
  return { kind: 'roots', rootPem: roots.join(''), crlPem };
}
