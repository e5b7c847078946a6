import type { OidcCredentials } from './cluster-access.ts';
import { type FieldReader, isFields } from './kubeconfig-fields.ts';

/** What a user entry's `auth-provider` says. */
export interface AuthProviderDraft {
  readonly credentials: OidcCredentials;
  /** File with the roots that the issuer is known by. */
  readonly authorityFile: string | undefined;
}

/**
 * Reads `auth-provider: oidc`, the one of client-go's plug-ins that it still has.
 *
 * @see Kubernetes, client-go, plugin/pkg/client/auth/oidc/oidc.go (names of the fields)
 */
export function readAuthProvider(reader: FieldReader): AuthProviderDraft | undefined {
  const value = reader.risky('auth-provider');
  if (value === undefined) return undefined;
  if (!isFields(value) || value['name'] !== 'oidc')
    return reader.report('auth-provider', 'is not supported but for name "oidc"; use "exec" or a "token"');
  const config = reader.nested('auth-provider.config', isFields(value['config']) ? value['config'] : {});
  const issuerUrl = readIssuer(config);
  const clientId = config.text('client-id') ?? config.report('client-id', 'is missing');
  const idToken = config.text('id-token');
  const refreshToken = config.text('refresh-token');
  if (idToken === undefined && refreshToken === undefined)
    config.report('refresh-token', 'is missing, and id-token too');
  const clientSecret = config.text('client-secret');
  const issuerAuthorityPem = config.pem('idp-certificate-authority-data');
  const authorityFile = config.riskyText('idp-certificate-authority');
  if (issuerUrl === undefined || clientId === undefined) return undefined;
  return {
    credentials: { issuerUrl, clientId, clientSecret, idToken, refreshToken, issuerAuthorityPem },
    authorityFile,
  };
}

/** Not quoted where it is refused: it may hold a password. */
function readIssuer(config: FieldReader): string | undefined {
  const text = config.text('idp-issuer-url');
  if (text === undefined) return config.report('idp-issuer-url', 'is missing');
  const url = URL.parse(text);
  const isPlain = url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (!isPlain || url.protocol !== 'https:')
    return config.report('idp-issuer-url', 'must begin with https:// and have no user, query or fragment');
  return text.replace(/\/+$/, '');
}
