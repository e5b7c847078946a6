import { stringify } from 'yaml';

/** A legacy client-go plug-in that gets credentials, with its settings. */
export interface KubeconfigAuthProvider {
  readonly name: string;
  readonly config: Readonly<Record<string, string>>;
}

/** One cluster, user and context of the same name. */
export interface KubeconfigEntry {
  readonly name: string;
  readonly server: string;
  readonly certificateAuthorityPem?: string | undefined;
  readonly tlsServerName?: string | undefined;
  readonly namespace?: string | undefined;
  readonly token?: string | undefined;
  readonly authProvider?: KubeconfigAuthProvider | undefined;
  readonly clientCertificate?: { readonly certificatePem: string; readonly keyPem: string } | undefined;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function userOf({ token, authProvider, clientCertificate }: KubeconfigEntry): Record<string, unknown> {
  return {
    ...(token === undefined ? {} : { token }),
    ...(authProvider === undefined ? {} : { 'auth-provider': authProvider }),
    ...(clientCertificate === undefined
      ? {}
      : {
          'client-certificate-data': base64(clientCertificate.certificatePem),
          'client-key-data': base64(clientCertificate.keyPem),
        }),
  };
}

/**
 * Writes a kubeconfig (YAML), all credentials inline.
 *
 * @param currentContext Default: the first entry.
 */
export function buildKubeconfig(entries: readonly KubeconfigEntry[], currentContext?: string): string {
  return stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: entries.map((entry) => ({
        name: entry.name,
        cluster: {
          ...(entry.certificateAuthorityPem === undefined
            ? {}
            : { 'certificate-authority-data': base64(entry.certificateAuthorityPem) }),
          server: entry.server,
          ...(entry.tlsServerName === undefined ? {} : { 'tls-server-name': entry.tlsServerName }),
        },
      })),
      users: entries.map((entry) => ({ name: entry.name, user: userOf(entry) })),
      contexts: entries.map((entry) => ({
        name: entry.name,
        context: {
          cluster: entry.name,
          user: entry.name,
          ...(entry.namespace === undefined ? {} : { namespace: entry.namespace }),
        },
      })),
      'current-context': currentContext ?? entries[0]?.name ?? '',
      preferences: {},
    },
    { lineWidth: 0 },
  );
}
