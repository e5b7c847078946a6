import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { TYPE_URLS } from '@meltemi/xds';
import { SecretSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { WorkloadSecret } from '../identity/workload-identity.ts';

/** Name of the workload's own certificate and key. */
export const WORKLOAD_CERTIFICATE_NAME = 'default';
/** Name of the roots that peers are checked against. */
export const TRUST_BUNDLE_NAME = 'ROOTCA';

/** One secret as it goes over the wire. */
export interface SecretResource {
  readonly name: string;
  /** Changes when, and only when, the content does. */
  readonly version: string;
  readonly resource: Any;
}

/** What a secret is made of, PEM. */
export type SecretContent =
  | { readonly kind: 'certificate'; readonly certificateChainPem: string; readonly privateKeyPem: string }
  | { readonly kind: 'roots'; readonly rootPem: string; readonly crlPem: string | undefined };

/** Makes SDS resources of a secret, and of the revocation lists that peers are checked against. */
export type ToSecretResources = (secret: WorkloadSecret, crlPem: string | undefined) => readonly SecretResource[];

/** What was made of one input; it keeps its version while that stays the same. */
interface Made {
  readonly from: string;
  readonly resource: SecretResource;
}

/** Makes SDS resources; each keeps its version while its content is the same. */
export function createSecretResources(nowMs: () => number): ToSecretResources {
  let made = 0;
  let certificate: Made | undefined;
  let trust: Made | undefined;
  const make = (name: string, from: string, content: SecretContent): Made => {
    made += 1;
    return { from, resource: packSecret(name, `${new Date(nowMs()).toISOString()}/${made}`, content) };
  };
  return (secret, crlPem) => {
    const { certificateChainPem, privateKeyPem, rootPem } = secret;
    const certified = String(secret.generation);
    if (certificate?.from !== certified)
      certificate = make(WORKLOAD_CERTIFICATE_NAME, certified, {
        kind: 'certificate',
        certificateChainPem,
        privateKeyPem,
      });
    const trusted = JSON.stringify([rootPem, crlPem]);
    if (trust?.from !== trusted) trust = make(TRUST_BUNDLE_NAME, trusted, { kind: 'roots', rootPem, crlPem });
    return [certificate.resource, trust.resource];
  };
}

/** Makes one SDS resource. */
export function packSecret(name: string, version: string, content: SecretContent): SecretResource {
  const value = toBinary(SecretSchema, create(SecretSchema, { name, type: secretTypeOf(content) }));
  return { name, version, resource: create(AnySchema, { typeUrl: TYPE_URLS.secret, value }) };
}

function secretTypeOf(content: SecretContent): NonNullable<MessageInitShape<typeof SecretSchema>['type']> {
  if (content.kind === 'certificate') {
    const { certificateChainPem, privateKeyPem } = content;
    const value = { certificateChain: inlineBytes(certificateChainPem), privateKey: inlineBytes(privateKeyPem) };
    return { case: 'tlsCertificate', value };
  }
  const { rootPem, crlPem } = content;
  const crl = crlPem === undefined ? {} : { crl: inlineBytes(crlPem) };
  return { case: 'validationContext', value: { trustedCa: inlineBytes(rootPem), ...crl } };
}

function inlineBytes(pem: string): { specifier: { case: 'inlineBytes'; value: Uint8Array<ArrayBuffer> } } {
  return { specifier: { case: 'inlineBytes', value: new Uint8Array(Buffer.from(pem)) } };
}
