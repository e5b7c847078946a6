import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { StatusError } from '../errors.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import { ANONYMOUS, type UserInfo } from './user-info.ts';

function valuesOf(part: unknown): string[] {
  return Array.isArray(part) ? part : typeof part === 'string' ? [part] : [];
}

/** The user that a client certificate names: CN is the user, every O a group. */
function userOfCertificate(socket: TLSSocket): UserInfo | undefined {
  const certificate = socket.getPeerCertificate();
  if (certificate === null || certificate.subject === undefined) return undefined;
  if (!socket.authorized)
    throw new StatusError(
      'Unauthorized',
      `Unauthorized: the client certificate is not accepted: ${String(socket.authorizationError)}`,
    );
  const subject = certificate.subject as unknown as Readonly<Record<string, unknown>>;
  const [username] = valuesOf(subject['CN']);
  if (username === undefined)
    throw new StatusError('Unauthorized', 'Unauthorized: the client certificate has no common name');
  return { username, groups: [...valuesOf(subject['O']), 'system:authenticated'] };
}

/**
 * Finds out who sends a request: by bearer token, else by client certificate, else nobody in particular.
 *
 * @throws StatusError `Unauthorized` for credentials that are not good; they never fall back to anonymous.
 */
export function authenticate(request: IncomingMessage, tokens: ServiceAccountTokens): UserInfo {
  const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (bearer !== undefined) {
    const result = tokens.verify(bearer.trim(), []);
    if ('error' in result) throw new StatusError('Unauthorized', `Unauthorized: ${result.error}`);
    return result.user;
  }
  const user = request.socket instanceof TLSSocket ? userOfCertificate(request.socket) : undefined;
  return user ?? ANONYMOUS;
}
