import { err, ok, type Result } from '@meltemi/base';

/** Proxies that can be gone through, with the port of those that name none. */
const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443, 'socks5:': 1080 };
/** What SOCKS has room for. */
const MAX_CREDENTIAL_BYTES = 255;

/** A way to an API server. */
export interface ProxyAddress {
  readonly kind: 'http' | 'https' | 'socks5';
  readonly host: string;
  readonly port: number;
  /** Secret, like a token. */
  readonly credentials?: { readonly user: string; readonly password: string };
}

/**
 * Reads `proxy-url` of a kubeconfig.
 *
 * @returns Why it cannot be used; the value is not quoted, since it may hold a password.
 * @see Kubernetes, client-go, tools/clientcmd/client_config.go (schemes)
 */
export function parseProxyUrl(text: string): Result<ProxyAddress> {
  const url = URL.parse(text);
  const defaultPort = url === null ? undefined : DEFAULT_PORTS[url.protocol];
  if (url === null || defaultPort === undefined || url.hostname === '')
    return err('must be http://, https:// or socks5:// with a host');
  if (!['', '/'].includes(url.pathname) || url.search !== '' || url.hash !== '')
    return err('must end with host and port');
  const user = decode(url.username);
  const password = decode(url.password);
  if (user === undefined || password === undefined) return err('has a user or password that cannot be read');
  return ok({
    // One of the three, as looked up above.
    kind: url.protocol.slice(0, -1) as ProxyAddress['kind'],
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? defaultPort : Number(url.port),
    ...(user === '' && password === '' ? {} : { credentials: { user, password } }),
  });
}

/** A proxy as messages name it. */
export function describeProxy({ kind, host, port }: ProxyAddress): string {
  return `${kind}://${formatAuthority(host, port)}`;
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatAuthority(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function decode(text: string): string | undefined {
  try {
    const decoded = decodeURIComponent(text);
    return Buffer.byteLength(decoded) > MAX_CREDENTIAL_BYTES ? undefined : decoded;
  } catch {
    return undefined;
  }
}
