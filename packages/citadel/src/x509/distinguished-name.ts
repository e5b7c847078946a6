import { derObjectIdentifier, derSequence, derSet, derUtf8String } from '@meltemi/base/pure';
import { OID } from './object-identifiers.ts';

/** The parts of a subject or issuer that the mesh writes. */
export interface DistinguishedName {
  readonly organization?: string;
  readonly commonName?: string;
}

/** The DER form of a name; `{}` gives the empty name that workload certificates carry. */
export function encodeDistinguishedName({ organization, commonName }: DistinguishedName): Uint8Array {
  const attributes: Uint8Array[] = [];
  if (organization !== undefined) attributes.push(attribute(OID.organization, organization));
  if (commonName !== undefined) attributes.push(attribute(OID.commonName, commonName));
  return derSequence(...attributes);
}

function attribute(oid: string, value: string): Uint8Array {
  return derSet(derSequence(derObjectIdentifier(oid), derUtf8String(value)));
}
