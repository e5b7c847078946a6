import { err, ok } from '@meltemi/base';
import type { Revocations } from '../revocations.ts';
import { decodeCertificateFields } from '../x509/certificate-fields.ts';
import type { Authenticator } from './authenticator.ts';

/**
 * Accepts callers whose client certificate the TLS layer verified; their identities are all of its names.
 *
 * @param isRevoked The TLS layer does not know of revocation lists, and whoever may renew is not rid of. Default: nothing is.
 */
export function createClientCertificateAuthenticator(isRevoked: Revocations['isRevoked'] = () => false): Authenticator {
  const name = 'ClientCertificateAuthenticator';
  return {
    name,
    async authenticate({ verifiedCertificate }) {
      if (verifiedCertificate === undefined) return err('no verified client certificate');
      const fields = decodeCertificateFields(verifiedCertificate);
      if (!fields.ok) return fields;
      if (isRevoked(fields.value)) return err('the client certificate is revoked');
      const identities = fields.value.subjectAltNames.map(({ value }) => value);
      return identities.length === 0 ? err('the client certificate names nobody') : ok({ identities, source: name });
    },
  };
}
