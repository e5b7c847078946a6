import { X509Certificate } from 'node:crypto';

const CERTIFICATE_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** The certificates of a bundle, each with a line end; blocks that are no certificates are left out. */
export function certificatesOf(pem: string): readonly string[] {
  return (pem.match(CERTIFICATE_BLOCK) ?? []).filter(isCertificate).map((block) => `${block}\n`);
}

function isCertificate(block: string): boolean {
  try {
    return new X509Certificate(block).raw.length > 0;
  } catch {
    return false;
  }
}
