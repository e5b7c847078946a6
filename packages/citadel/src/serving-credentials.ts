import { experimental, type ServerCredentials } from '@grpc/grpc-js';
import type { ServingCertificate, ServingPair } from './serving-certificate.ts';

/** Node's default is two minutes, in which half a greeting holds a connection. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** grpc-js has no option for it: what it asks credentials for is handed to the TLS server as it is. */
function withHandshakeTimeout(credentials: ServerCredentials): ServerCredentials {
  const inner = credentials as unknown as { _getConstructorOptions(): object };
  const original = inner._getConstructorOptions.bind(credentials);
  inner._getConstructorOptions = () => ({ ...original(), handshakeTimeout: HANDSHAKE_TIMEOUT_MS });
  return credentials;
}

/**
 * gRPC server credentials that follow the serving certificate and verify a client certificate when one is given.
 *
 * New connections see a renewed certificate; open ones go on. A client whose certificate does not verify is served as if
 * it had sent none (`call.getAuthContext()` is then empty): authenticators decide, not the handshake.
 */
export function createServingCredentials(serving: ServingCertificate): ServerCredentials {
  const stops = new Map<unknown, () => void>();
  const follow = <Update>(listener: (update: Update) => void, toUpdate: (pair: ServingPair) => Update): void => {
    // Not at once: grpc-js adds its own watcher only after this call, and would miss the first certificate.
    queueMicrotask(() => listener(toUpdate(serving.current())));
    stops.set(
      listener,
      serving.onChange((pair) => listener(toUpdate(pair))),
    );
  };
  const unfollow = (listener: unknown): void => {
    stops.get(listener)?.();
    stops.delete(listener);
  };
  const provider: experimental.CertificateProvider = {
    addCaCertificateListener: (listener) =>
      follow(listener, ({ rootPem }) => ({ caCertificate: Buffer.from(rootPem) })),
    removeCaCertificateListener: unfollow,
    addIdentityCertificateListener: (listener) =>
      follow(listener, ({ certificateChainPem, keyPem }) => ({
        certificate: Buffer.from(certificateChainPem),
        privateKey: Buffer.from(keyPem),
      })),
    removeIdentityCertificateListener: unfollow,
  };
  // One object is both providers: grpc-js 1.14 declares these two parameters in the reverse of the order it uses them in.
  return withHandshakeTimeout(experimental.createCertificateProviderServerCredentials(provider, provider, false));
}
