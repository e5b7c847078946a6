import { err, ok } from '@meltemi/base';
import { type Authenticator, authenticateCall, parseSpiffeId } from '@meltemi/citadel';
import type { StreamAuthenticator } from '@meltemi/xds/server';

/** Lets the CA's authenticators decide who opens a discovery stream: one notion of identity for both services. */
export function createStreamAuthenticator(authenticators: readonly Authenticator[]): StreamAuthenticator {
  return async ({ authorization, clusterId, peerCertificate }) => {
    const caller = await authenticateCall(authenticators, {
      ...(peerCertificate === undefined ? {} : { verifiedCertificate: peerCertificate }),
      ...(authorization?.startsWith('Bearer ') === true
        ? { bearerToken: authorization.slice('Bearer '.length).trim() }
        : {}),
      ...(clusterId === undefined ? {} : { clusterId }),
    });
    if (!caller.ok) return err(`the caller is not authenticated: ${caller.error}`);
    for (const identity of caller.value.identities) {
      const parsed = parseSpiffeId(identity);
      if (parsed.ok) return ok(parsed.value);
    }
    return err('the caller has no SPIFFE identity');
  };
}
