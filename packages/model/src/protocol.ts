/** How a port's bytes are read. `auto` means that the proxy looks at the first bytes. */
export type Protocol =
  | 'grpc'
  | 'grpc-web'
  | 'http'
  | 'http_proxy'
  | 'http2'
  | 'https'
  | 'tls'
  | 'tcp'
  | 'udp'
  | 'mongo'
  | 'mysql'
  | 'redis'
  | 'auto';

/** What Kubernetes says about a port that decides its protocol. */
export interface PortNaming {
  readonly name?: string | undefined;
  readonly appProtocol?: string | undefined;
  /** The transport: `TCP`, `UDP`, `SCTP`. Default TCP. */
  readonly transport?: string | undefined;
  readonly number: number;
}

const NAMED: ReadonlySet<string> = new Set<Protocol>([
  'grpc',
  'http',
  'http_proxy',
  'http2',
  'https',
  'tls',
  'tcp',
  'udp',
  'mongo',
  'mysql',
  'redis',
]);

const APP_PROTOCOLS: Readonly<Record<string, Protocol>> = {
  'kubernetes.io/h2c': 'http2',
  'kubernetes.io/ws': 'http',
  'kubernetes.io/wss': 'https',
};

/** Ports whose protocols let the server speak first: waiting for the client's bytes would hang them. */
const SERVER_FIRST_PORTS: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);

/**
 * Decides a port's protocol: transport, then `appProtocol`, then the prefix of its name, then its number.
 *
 * @see Istio, pkg/config/kube/conversion.go
 */
export function resolveProtocol(port: PortNaming): Protocol {
  if (port.transport === 'UDP') return 'udp';
  const named = parseProtocolName(port.appProtocol ?? port.name ?? '');
  if (named !== undefined) return named;
  return SERVER_FIRST_PORTS.has(port.number) ? 'tcp' : 'auto';
}

/** Reads `http`, `http-web`, `GRPC-web-x`, `kubernetes.io/h2c`; `undefined` when the text names no protocol. */
export function parseProtocolName(text: string): Protocol | undefined {
  const lower = text.toLowerCase();
  const byAppProtocol = APP_PROTOCOLS[lower];
  if (byAppProtocol !== undefined) return byAppProtocol;
  if (lower === 'grpc-web' || lower.startsWith('grpc-web-')) return 'grpc-web';
  const prefix = lower.split('-', 1)[0] as string;
  // The cast holds: NAMED contains members of Protocol only.
  return NAMED.has(prefix) ? (prefix as Protocol) : undefined;
}

/** Whether requests on this protocol are routed by an HTTP connection manager without looking at bytes first. */
export function isHttpProtocol(protocol: Protocol): boolean {
  return (
    protocol === 'http' ||
    protocol === 'http2' ||
    protocol === 'grpc' ||
    protocol === 'grpc-web' ||
    protocol === 'http_proxy'
  );
}

/** Whether upstream connections speak HTTP/2 from the first byte. */
export function isHttp2Protocol(protocol: Protocol): boolean {
  return protocol === 'http2' || protocol === 'grpc' || protocol === 'grpc-web';
}

/** Whether the port carries TLS that the application itself ends, routed by SNI. */
export function isTlsProtocol(protocol: Protocol): boolean {
  return protocol === 'tls' || protocol === 'https';
}
