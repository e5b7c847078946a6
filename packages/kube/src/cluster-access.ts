import type { ProxyAddress } from './proxy-url.ts';

/** A command that prints an ExecCredential, as cloud providers' kubeconfigs name it. */
export interface CredentialCommand {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** ID tokens of an OpenID Connect issuer, which renews them. */
export interface OidcCredentials {
  /** `https://…`, without a slash at its end. */
  readonly issuerUrl: string;
  readonly clientId: string;
  readonly clientSecret?: string | undefined;
  readonly idToken?: string | undefined;
  readonly refreshToken?: string | undefined;
  /** Roots that the issuer is known by, PEM; absent: the system's. */
  readonly issuerAuthorityPem?: string | undefined;
}

/** How a client proves who it is. At most one kind is set; none means an anonymous client. */
export interface ClusterCredentials {
  readonly token?: string | undefined;
  /** Read again at least once a minute, because tokens in pods are rotated. */
  readonly tokenFile?: string | undefined;
  readonly clientCertificate?: { readonly certificatePem: string; readonly keyPem: string } | undefined;
  readonly command?: CredentialCommand | undefined;
  readonly oidc?: OidcCredentials | undefined;
}

/** All that a client needs to call one API server. */
export interface ClusterAccess {
  /** Name of the kubeconfig context, or `in-cluster`. */
  readonly name: string;
  /** `https://host:port`, without a trailing slash, possibly with a path. */
  readonly server: string;
  /** Trusted roots in PEM; absent: the system's. */
  readonly certificateAuthorityPem?: string | undefined;
  /** Name to expect in the server's certificate instead of the URL's host. */
  readonly tlsServerName?: string | undefined;
  /** What connections go through; absent: nothing, whatever the environment says. */
  readonly proxy?: ProxyAddress | undefined;
  /** Trust any server. Only ever by the user's own choice. */
  readonly insecureSkipTlsVerify?: boolean | undefined;
  readonly credentials: ClusterCredentials;
  /** The context's default namespace. */
  readonly namespace?: string | undefined;
}
