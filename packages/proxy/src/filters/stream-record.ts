import type { HeaderMap } from '../codec/header-map.ts';
import type { RequestHead } from '../codec/message-heads.ts';
import type { ClientSource } from '../network/client-source.ts';
import type { CertificateFacts } from '../tls/peer-certificate.ts';
import type { UpstreamTlsFacts } from '../upstream/connect.ts';

/** What TLS settled with a client. */
export interface DownstreamTlsFacts {
  /** Undefined when the client showed no certificate. */
  readonly peer: CertificateFacts | undefined;
  /** URI name of the certificate that we presented. */
  readonly localUri: string;
  readonly alpn: string;
  readonly version: string;
  readonly cipher: string;
}

/** Facts about a downstream connection; the same for all of its requests. */
export interface DownstreamConnection {
  readonly id: number;
  readonly remoteIp: string;
  readonly remotePort: number;
  /** Where the client wanted to go: the original destination when the connection was captured. */
  readonly localIp: string;
  readonly localPort: number;
  /** Where upstream connections for it come from; undefined: from our own address. */
  readonly clientSource: ClientSource | undefined;
  /** Undefined for plaintext. */
  readonly tls: DownstreamTlsFacts | undefined;
  /** SNI; empty when there was none. */
  readonly serverName: string;
  readonly filterChainName: string;
}

/**
 * What is known about one request or TCP session, for access logs, header values and metrics. Filled while it goes on; complete
 * when it ends.
 */
export interface StreamRecord {
  readonly connection: DownstreamConnection;
  readonly startUnixMs: number;
  /** Undefined for TCP. */
  readonly request: RequestHead | undefined;
  readonly responseHeaders: HeaderMap | undefined;
  /** 0 when there was no response. */
  readonly responseCode: number;
  readonly responseCodeDetails: string;
  readonly connectionTerminationDetails: string;
  readonly responseFlags: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Undefined while it lasts. */
  readonly durationMs: number | undefined;
  /** Until the request's last byte. */
  readonly requestDurationMs: number | undefined;
  /** Until the first byte of the upstream's response. */
  readonly responseDurationMs: number | undefined;
  readonly routeName: string;
  readonly virtualHostName: string;
  /** What stats call the cluster. */
  readonly upstreamCluster: string;
  readonly upstreamClusterRaw: string;
  readonly upstreamHost: string;
  readonly upstreamLocalAddress: string;
  readonly upstreamTls: UpstreamTlsFacts | undefined;
  readonly upstreamTransportFailure: string;
  readonly attemptCount: number;
  readonly localReplyBody: string;
}

/** What a record holds of a connection that was refused before it carried a request or reached an upstream. */
export const NOTHING_SERVED: Omit<
  StreamRecord,
  'connection' | 'startUnixMs' | 'responseCode' | 'responseCodeDetails' | 'responseFlags'
> = {
  request: undefined,
  responseHeaders: undefined,
  connectionTerminationDetails: '',
  bytesReceived: 0,
  bytesSent: 0,
  durationMs: 0,
  requestDurationMs: undefined,
  responseDurationMs: undefined,
  routeName: '',
  virtualHostName: '',
  upstreamCluster: '',
  upstreamClusterRaw: '',
  upstreamHost: '',
  upstreamLocalAddress: '',
  upstreamTls: undefined,
  upstreamTransportFailure: '',
  attemptCount: 0,
  localReplyBody: '',
};
