import { DER_TAG, err, formatObjectIdentifier, ok, type Result, readDerChildren } from '@meltemi/base/pure';
import { OID } from './object-identifiers.ts';
import { decodeSubjectAltNames, type SubjectAltName } from './subject-alt-name.ts';

/** The parts of a certificate that `node:crypto` does not give, or gives only as printable text. */
export interface CertificateFields {
  /** The value of the INTEGER, as it stands in revocation lists too. */
  readonly serialNumber: Uint8Array;
  /** DER. */
  readonly issuer: Uint8Array;
  /** DER, to be copied into certificates that this one signs. */
  readonly subject: Uint8Array;
  readonly subjectKeyId: Uint8Array | undefined;
  readonly subjectAltNames: readonly SubjectAltName[];
  /** Whether its key usage has cRLSign, or there is no key usage: verifiers refuse lists of others (RFC 5280 6.3.3). */
  readonly signsRevocationLists: boolean;
}

/**
 * Takes a certificate's DER apart.
 *
 * Subject alternative names come from here and never from `X509Certificate.subjectAltName`: that text needs unquoting,
 * and a name that contains a comma must not become two names.
 */
export function decodeCertificateFields(der: Uint8Array): Result<CertificateFields> {
  const certificate = readDerChildren(der, DER_TAG.sequence);
  if (!certificate.ok) return certificate;
  const body = readDerChildren(certificate.value[0]?.raw ?? new Uint8Array(0), DER_TAG.sequence);
  if (!body.ok) return body;
  // The version is absent in v1 certificates; everything after it keeps its place.
  const fields = body.value[0]?.tag === 0xa0 ? body.value.slice(1) : body.value;
  const [serialNumber, , issuer, , subject] = fields;
  if (serialNumber?.tag !== DER_TAG.integer) return err('the certificate has no serial number');
  if (issuer?.tag !== DER_TAG.sequence) return err('the certificate has no issuer');
  if (subject?.tag !== DER_TAG.sequence) return err('the certificate has no subject');
  const extensions = decodeExtensions(fields.find((field) => field.tag === 0xa3)?.content);
  if (!extensions.ok) return extensions;
  const keyId = extensions.value.get(OID.subjectKeyIdentifier);
  const altNames = extensions.value.get(OID.subjectAltName);
  const subjectAltNames = altNames === undefined ? ok([]) : decodeSubjectAltNames(altNames);
  if (!subjectAltNames.ok) return subjectAltNames;
  return ok({
    serialNumber: serialNumber.content,
    issuer: issuer.raw,
    subject: subject.raw,
    // The value is an OCTET STRING within the extension's own; a key identifier is shorter than 128 bytes.
    subjectKeyId: keyId?.subarray(2),
    subjectAltNames: subjectAltNames.value,
    signsRevocationLists: hasRevocationUsage(extensions.value.get(OID.keyUsage)),
  });
}

/** @param value A BIT STRING of which the last byte of the header counts unused bits. */
function hasRevocationUsage(value: Uint8Array | undefined): boolean {
  const CRL_SIGN = 0x02;
  return value === undefined || ((value[3] ?? 0) & CRL_SIGN) !== 0;
}

function decodeExtensions(content: Uint8Array | undefined): Result<ReadonlyMap<string, Uint8Array>> {
  const values = new Map<string, Uint8Array>();
  if (content === undefined) return ok(values);
  const extensions = readDerChildren(content, DER_TAG.sequence);
  if (!extensions.ok) return extensions;
  for (const extension of extensions.value) {
    const parts = readDerChildren(extension.raw, DER_TAG.sequence);
    if (!parts.ok) return parts;
    const oid = parts.value[0];
    const value = parts.value.at(-1);
    if (oid?.tag !== DER_TAG.objectIdentifier || value?.tag !== DER_TAG.octetString) {
      return err('the certificate has a malformed extension');
    }
    const name = formatObjectIdentifier(oid.content);
    if (values.has(name)) return err(`the certificate has extension ${name} twice`);
    values.set(name, value.content);
  }
  return ok(values);
}
