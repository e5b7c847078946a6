import { hostname } from 'node:os';
import { readRequestField } from '../../decide/request-view.ts';
import { formatResponseFlags, formatResponseFlagsLong } from '../../decide/response-flags.ts';
import type { StreamRecord } from '../stream-record.ts';
import { formatStartTime } from './start-time.ts';

/** Reads one value of a stream; undefined and the empty text are "not set". */
export type Operator = (stream: StreamRecord) => string | number | undefined;

function address(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

const hostName = hostname();

/** Operators without arguments. */
const PLAIN: Readonly<Record<string, Operator>> = {
  PROTOCOL: ({ request }) => request?.protocol,
  RESPONSE_CODE: ({ responseCode }) => responseCode,
  RESPONSE_CODE_DETAILS: ({ responseCodeDetails }) => responseCodeDetails.replaceAll(' ', '_'),
  RESPONSE_FLAGS: ({ responseFlags }) => formatResponseFlags(responseFlags),
  RESPONSE_FLAGS_LONG: ({ responseFlags }) => formatResponseFlagsLong(responseFlags),
  CONNECTION_TERMINATION_DETAILS: ({ connectionTerminationDetails }) => connectionTerminationDetails,
  BYTES_RECEIVED: ({ bytesReceived }) => bytesReceived,
  BYTES_SENT: ({ bytesSent }) => bytesSent,
  DURATION: ({ durationMs }) => wholeMs(durationMs),
  REQUEST_DURATION: ({ requestDurationMs }) => wholeMs(requestDurationMs),
  RESPONSE_DURATION: ({ responseDurationMs }) => wholeMs(responseDurationMs),
  RESPONSE_TX_DURATION: ({ durationMs, responseDurationMs }) =>
    durationMs === undefined || responseDurationMs === undefined ? undefined : wholeMs(durationMs - responseDurationMs),
  ROUTE_NAME: ({ routeName }) => routeName,
  UPSTREAM_HOST: ({ upstreamHost }) => upstreamHost,
  UPSTREAM_REMOTE_ADDRESS: ({ upstreamHost }) => upstreamHost,
  UPSTREAM_LOCAL_ADDRESS: ({ upstreamLocalAddress }) => upstreamLocalAddress,
  UPSTREAM_CLUSTER: ({ upstreamCluster }) => upstreamCluster,
  UPSTREAM_CLUSTER_RAW: ({ upstreamClusterRaw }) => upstreamClusterRaw,
  UPSTREAM_TRANSPORT_FAILURE_REASON: ({ upstreamTransportFailure }) => upstreamTransportFailure.replaceAll(' ', '_'),
  UPSTREAM_REQUEST_ATTEMPT_COUNT: ({ attemptCount }) => attemptCount,
  UPSTREAM_PEER_URI_SAN: ({ upstreamTls }) => upstreamTls?.peerUri,
  UPSTREAM_LOCAL_URI_SAN: ({ upstreamTls }) => upstreamTls?.localUri,
  DOWNSTREAM_REMOTE_ADDRESS: ({ connection }) => address(connection.remoteIp, connection.remotePort),
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: ({ connection }) => connection.remoteIp,
  DOWNSTREAM_REMOTE_PORT: ({ connection }) => connection.remotePort,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: ({ connection }) => address(connection.remoteIp, connection.remotePort),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: ({ connection }) => connection.remoteIp,
  DOWNSTREAM_LOCAL_ADDRESS: ({ connection }) => address(connection.localIp, connection.localPort),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: ({ connection }) => connection.localIp,
  DOWNSTREAM_LOCAL_PORT: ({ connection }) => connection.localPort,
  DOWNSTREAM_PEER_URI_SAN: ({ connection }) => connection.tls?.peer?.names.uri.join(','),
  DOWNSTREAM_PEER_DNS_SAN: ({ connection }) => connection.tls?.peer?.names.dns.join(','),
  DOWNSTREAM_PEER_SUBJECT: ({ connection }) => connection.tls?.peer?.subject,
  DOWNSTREAM_PEER_ISSUER: ({ connection }) => connection.tls?.peer?.issuer,
  DOWNSTREAM_PEER_SERIAL: ({ connection }) => connection.tls?.peer?.serialNumber,
  DOWNSTREAM_PEER_FINGERPRINT_256: ({ connection }) => connection.tls?.peer?.sha256,
  DOWNSTREAM_LOCAL_URI_SAN: ({ connection }) => connection.tls?.localUri,
  DOWNSTREAM_TLS_VERSION: ({ connection }) => connection.tls?.version,
  DOWNSTREAM_TLS_CIPHER: ({ connection }) => connection.tls?.cipher,
  REQUESTED_SERVER_NAME: ({ connection }) => connection.serverName,
  FILTER_CHAIN_NAME: ({ connection }) => connection.filterChainName,
  CONNECTION_ID: ({ connection }) => connection.id,
  VIRTUAL_HOST_NAME: ({ virtualHostName }) => virtualHostName,
  LOCAL_REPLY_BODY: ({ localReplyBody }) => localReplyBody,
  HOSTNAME: () => hostName,
  GRPC_STATUS_NUMBER: ({ responseHeaders }) => responseHeaders?.get('grpc-status'),
};

function wholeMs(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms);
}

function readRequestHeader({ request }: StreamRecord, name: string): string | undefined {
  return request && readRequestField(request, name);
}

/** `REQ(X?Y)`: the first header, or else the second. */
function compileHeaderOperator(
  argument: string,
  read: (stream: StreamRecord, name: string) => string | undefined,
): Operator {
  const [first = '', second] = argument.toLowerCase().split('?');
  if (second === undefined) return (stream) => read(stream, first);
  return (stream) => read(stream, first) ?? read(stream, second);
}

/** Operators that Envoy knows and that have no value here yet: they print as not set. */
const WITHOUT_VALUE: ReadonlySet<string> = new Set([
  'DYNAMIC_METADATA',
  'CLUSTER_METADATA',
  'UPSTREAM_METADATA',
  'FILTER_STATE',
  'UPSTREAM_FILTER_STATE',
  'TRAILER',
  'TRACE_ID',
  'STREAM_ID',
  'UNIQUE_ID',
  'ACCESS_LOG_TYPE',
  'VIRTUAL_CLUSTER_NAME',
  'REQUEST_HEADERS_BYTES',
  'RESPONSE_HEADERS_BYTES',
  'UPSTREAM_WIRE_BYTES_SENT',
  'UPSTREAM_WIRE_BYTES_RECEIVED',
  'DOWNSTREAM_WIRE_BYTES_SENT',
  'DOWNSTREAM_WIRE_BYTES_RECEIVED',
  'UPSTREAM_PROTOCOL',
  'GRPC_STATUS',
  'METADATA',
  'ENVIRONMENT',
  'CEL',
]);

/**
 * Finds the operator of a command such as `REQ(:METHOD)`.
 *
 * @returns Undefined for a command that does not exist.
 */
export function compileOperator(name: string, argument: string | undefined): Operator | undefined {
  if (name === 'START_TIME') return ({ startUnixMs }) => formatStartTime(startUnixMs, argument);
  if (name === 'REQ') return compileHeaderOperator(argument ?? '', readRequestHeader);
  if (name === 'RESP')
    return compileHeaderOperator(argument ?? '', ({ responseHeaders }, header) => responseHeaders?.joined(header));
  const plain = PLAIN[name];
  if (plain !== undefined) return plain;
  return WITHOUT_VALUE.has(name) ? () => undefined : undefined;
}
