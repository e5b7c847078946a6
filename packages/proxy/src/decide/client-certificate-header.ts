import type { RuntimeXfccDetails } from '../config/runtime-config.ts';

/** What a client's certificate gives to x-forwarded-client-cert. */
export interface ForwardedCertificate {
  /** URI names of our own certificate. */
  readonly localUri: string;
  readonly sha256: string;
  readonly subject: string;
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly pem: string;
}

function quote(value: string): string {
  return /[,;="]/.test(value) ? `"${value.replaceAll('"', '\\"')}"` : value;
}

/**
 * One element of x-forwarded-client-cert. `Subject` is quoted always, other values when they hold a separator.
 *
 * @see Envoy, docs/root/configuration/http/http_conn_man/headers.rst, x-forwarded-client-cert
 */
export function formatForwardedCertificate(certificate: ForwardedCertificate, details: RuntimeXfccDetails): string {
  const pairs: string[] = [];
  if (certificate.localUri !== '') pairs.push(`By=${quote(certificate.localUri)}`);
  pairs.push(`Hash=${certificate.sha256}`);
  if (details.cert) pairs.push(`Cert="${encodeURIComponent(certificate.pem)}"`);
  if (details.chain) pairs.push(`Chain="${encodeURIComponent(certificate.pem)}"`);
  if (details.subject) pairs.push(`Subject="${certificate.subject.replaceAll('"', '\\"')}"`);
  if (details.uri) {
    // A certificate without any still gets the key, so that a reader can tell "none" from "not configured".
    const uris = certificate.uris.length === 0 ? [''] : certificate.uris;
    for (const uri of uris) pairs.push(`URI=${quote(uri)}`);
  }
  if (details.dns) for (const name of certificate.dnsNames) pairs.push(`DNS=${quote(name)}`);
  return pairs.join(';');
}
