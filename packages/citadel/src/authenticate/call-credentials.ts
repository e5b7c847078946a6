import type { CallCredentials } from './authenticator.ts';

/** The parts of a grpc-js server call that credentials come from. */
export interface CredentialsSource {
  readonly metadata: { get(key: string): readonly (string | Buffer)[] };
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Buffer } };
}

/** Collects what a gRPC call brings to prove who makes it. */
export function readCallCredentials(call: CredentialsSource): CallCredentials {
  const authorization = call.metadata.get('authorization').map(String);
  const bearer = authorization.find((value) => value.startsWith('Bearer '));
  const clusterId = call.metadata.get('clusterid')[0];
  // grpc-js leaves this empty unless the certificate was verified.
  const certificate = call.getAuthContext().sslPeerCertificate?.raw;
  return {
    ...(certificate === undefined ? {} : { verifiedCertificate: certificate }),
    ...(bearer === undefined ? {} : { bearerToken: bearer.slice('Bearer '.length).trim() }),
    ...(clusterId === undefined ? {} : { clusterId: String(clusterId) }),
  };
}
