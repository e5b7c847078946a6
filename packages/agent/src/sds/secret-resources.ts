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

/** Makes SDS resources from each new secret; the trust bundle keeps its version while its content is the same. */
export function createSecretResources(nowMs: () => number): (secret: WorkloadSecret) => readonly SecretResource[] {
  let trustBundle: (SecretResource & { readonly pem: string }) | undefined;
  return (secret) => {
    const version = `${new Date(nowMs()).toISOString()}/${secret.generation}`;
    if (trustBundle?.pem !== secret.rootPem) {
      trustBundle = {
        name: TRUST_BUNDLE_NAME,
        version,
        resource: packTrustBundle(secret.rootPem),
        pem: secret.rootPem,
      };
    }
    return [{ name: WORKLOAD_CERTIFICATE_NAME, version, resource: packCertificate(secret) }, trustBundle];
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

function packTrustBundle(rootPem: string): Any {
  const secret = create(SecretSchema, {
    name: TRUST_BUNDLE_NAME,
    type: { case: 'validationContext', value: { trustedCa: inlineBytes(rootPem) } },
  });
  return create(AnySchema, { typeUrl: TYPE_URLS.secret, value: toBinary(SecretSchema, secret) });
}

function inlineBytes(pem: string): { specifier: { case: 'inlineBytes'; value: Uint8Array<ArrayBuffer> } } {
  return { specifier: { case: 'inlineBytes', value: new Uint8Array(Buffer.from(pem)) } };
}
