import { create, toBinary } from '@bufbuild/protobuf';
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
  const make = (name: string, from: string, resource: Any): Made => {
    made += 1;
    return { from, resource: { name, version: `${new Date(nowMs()).toISOString()}/${made}`, resource } };
  };
  return (secret, crlPem) => {
    const certified = String(secret.generation);
    if (certificate?.from !== certified)
      certificate = make(WORKLOAD_CERTIFICATE_NAME, certified, packCertificate(secret));
    const trusted = JSON.stringify([secret.rootPem, crlPem]);
    if (trust?.from !== trusted) trust = make(TRUST_BUNDLE_NAME, trusted, packTrustBundle(secret.rootPem, crlPem));
    return [certificate.resource, trust.resource];
  };
}

function packCertificate({ certificateChainPem, privateKeyPem }: WorkloadSecret): Any {
  const secret = create(SecretSchema, {
    name: WORKLOAD_CERTIFICATE_NAME,
    type: {
      case: 'tlsCertificate',
      value: { certificateChain: inlineBytes(certificateChainPem), privateKey: inlineBytes(privateKeyPem) },
    },
  });
  return create(AnySchema, { typeUrl: TYPE_URLS.secret, value: toBinary(SecretSchema, secret) });
}

function packTrustBundle(rootPem: string, crlPem: string | undefined): Any {
  const secret = create(SecretSchema, {
    name: TRUST_BUNDLE_NAME,
    type: {
      case: 'validationContext',
      value: {
        trustedCa: inlineBytes(rootPem),
        ...(crlPem === undefined ? {} : { crl: inlineBytes(crlPem) }),
      },
    },
  });
  return create(AnySchema, { typeUrl: TYPE_URLS.secret, value: toBinary(SecretSchema, secret) });
}

function inlineBytes(pem: string): { specifier: { case: 'inlineBytes'; value: Uint8Array<ArrayBuffer> } } {
  return { specifier: { case: 'inlineBytes', value: new Uint8Array(Buffer.from(pem)) } };
}
