import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type Socket } from 'node:net';
import { getCACertificates } from 'node:tls';
import { formatAuthority, type ProxyAddress } from './proxy-url.ts';
import { openSocksTunnel } from './socks-tunnel.ts';

/** Where a tunnel leads to. */
export interface TunnelTarget {
  readonly host: string;
  readonly port: number;
}

/** What {@link openTunnel} works with. */
export interface TunnelOptions {
  readonly proxy: ProxyAddress;
  readonly target: TunnelTarget;
  /** Roots that a proxy over TLS is trusted by, besides the system's. */
  readonly certificateAuthorityPem?: string | undefined;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
}

/**
 * Opens a connection through a proxy, which sees where it leads to and nothing of what is said: TLS begins behind it.
 *
 * @throws Error saying what the proxy answered, without credentials.
 */
export function openTunnel(options: TunnelOptions): Promise<Socket> {
  return options.proxy.kind === 'socks5' ? openSocksTunnel(options) : openHttpTunnel(options);
}

function openHttpTunnel(options: TunnelOptions): Promise<Socket> {
  const { proxy, target, signal } = options;
  const authority = formatAuthority(target.host, target.port);
  const common = {
    host: proxy.host,
    port: proxy.port,
    method: 'CONNECT',
    path: authority,
    agent: false,
    signal,
    headers: { host: authority, ...authorizationOf(proxy) },
  } as const;
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const outgoing = proxy.kind === 'https' ? httpsRequest({ ...common, ...tlsOf(options) }) : httpRequest(common);
  outgoing
    .once('connect', ({ statusCode = 0 }, socket: Socket, head) => {
      const isOpen = statusCode >= 200 && statusCode < 300 && head.length === 0;
      if (isOpen) return resolve(socket);
      socket.destroy();
      reject(new Error(`the proxy answered with status ${statusCode}`));
    })
    .once('error', reject)
    .end();
  return promise;
}

function tlsOf({ proxy, certificateAuthorityPem }: TunnelOptions) {
  return {
    // Node would take the name from the header, which is the server's.
    servername: isIP(proxy.host) === 0 ? proxy.host : '',
    // Whoever runs a proxy puts its root where the machine's programs find it, or names it in NODE_EXTRA_CA_CERTS.
    ca: [
      ...new Set([...getCACertificates('default'), ...getCACertificates('system')]),
      ...(certificateAuthorityPem === undefined ? [] : [certificateAuthorityPem]),
    ],
  };
}

function authorizationOf({ credentials }: ProxyAddress): Readonly<Record<string, string>> {
  if (credentials === undefined) return {};
  const pair = Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64');
  return { 'proxy-authorization': `Basic ${pair}` };
}
