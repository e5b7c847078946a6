import { randomUUID } from 'node:crypto';
import type { HeaderMap } from '../../codec/header-map.ts';
import { hasToken } from '../../codec/http1/grammar.ts';
import type { RequestHead } from '../../codec/message-heads.ts';
import type { RuntimeHttpConnectionManager } from '../../config/runtime-config.ts';
import { type ClientAddress, resolveClientAddress } from '../../decide/client-address.ts';
import { formatForwardedCertificate } from '../../decide/client-certificate-header.ts';
import { isLoopback } from '../../decide/ip.ts';
import type { DownstreamConnection } from '../stream-record.ts';

/** Not believed from clients outside: with them a stranger could ask for retries or forge where a request came from. */
const STRIPPED_FROM_EXTERNAL: readonly string[] = [
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-hedge-on-per-try-timeout',
  'x-envoy-force-trace',
  'x-envoy-ip-tags',
  'x-envoy-original-url',
];

const STRIPPED_AT_EDGE: readonly string[] = [
  'x-envoy-decorator-operation',
  'x-envoy-downstream-service-cluster',
  'x-envoy-downstream-service-node',
  'x-envoy-original-path',
];

/** Fields that a `Connection` may not name: removing them would change who the request is from, or where to. */
const NOT_NOMINATED: ReadonlySet<string> = new Set([
  'host',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]);

/**
 * Removes what is meant for one hop.
 *
 * @returns False when `Connection` names a field that must not be removed.
 */
export function removeHopByHop(headers: HeaderMap, keepUpgrade: boolean): boolean {
  const connection = headers.joined('connection');
  if (connection !== undefined) {
    for (const token of connection.split(',')) {
      const name = token.trim().toLowerCase();
      if (name === '' || name === 'close' || name === 'keep-alive' || name === 'upgrade') continue;
      if (name.startsWith(':') || NOT_NOMINATED.has(name)) return false;
      if (name === 'te') continue;
      headers.remove(name);
    }
    headers.remove('connection');
  }
  headers.remove('keep-alive');
  headers.remove('proxy-connection');
  headers.remove('transfer-encoding');
  const te = headers.joined('te');
  if (te !== undefined) {
    headers.remove('te');
    if (hasToken(te, 'trailers')) headers.set('te', 'trailers');
  }
  if (keepUpgrade) headers.set('connection', 'upgrade');
  else headers.remove('upgrade');
  return true;
}

/** What request headers are rewritten by. */
export interface RequestHeaderOptions {
  readonly config: RuntimeHttpConnectionManager;
  readonly isInternalAddress: (ip: string) => boolean;
}

/** Sets the forwarding headers of a request, and strips those that are not believed. */
export function mutateRequestHeaders(
  head: RequestHead,
  connection: DownstreamConnection,
  { config, isInternalAddress }: RequestHeaderOptions,
): ClientAddress {
  const { headers } = head;
  const client = resolveClientAddress(
    {
      useRemoteAddress: config.useRemoteAddress,
      trustedHops: config.xffNumTrustedHops,
      skipXffAppend: config.skipXffAppend,
      isInternalAddress,
    },
    connection.remoteIp,
    headers.joined('x-forwarded-for'),
    isLoopback(connection.remoteIp) ? connection.localIp : connection.remoteIp,
  );
  if (client.forwardedFor !== undefined) headers.set('x-forwarded-for', client.forwardedFor);
  setForwardedProto(head, connection, config);
  if (client.isInternal) {
    headers.set('x-envoy-internal', 'true');
  } else {
    headers.remove('x-envoy-internal');
    for (const name of STRIPPED_FROM_EXTERNAL) headers.remove(name);
  }
  if (client.isEdge) {
    for (const name of STRIPPED_AT_EDGE) headers.remove(name);
    headers.set('x-envoy-external-address', client.ip);
  }
  setRequestId(headers, client, config);
  setClientCertificate(headers, connection, config);
  if (config.via !== undefined) headers.add('via', config.via);
  return client;
}

function setForwardedProto(
  head: RequestHead,
  connection: DownstreamConnection,
  config: RuntimeHttpConnectionManager,
): void {
  const { headers } = head;
  const actual = connection.tls === undefined ? 'http' : 'https';
  const received = headers.get('x-forwarded-proto');
  const isBelieved = received !== undefined && (config.xffNumTrustedHops > 0 || !config.useRemoteAddress);
  const isKnown = received === 'http' || received === 'https';
  if (!isBelieved || !isKnown) headers.set('x-forwarded-proto', actual);
  head.scheme ??= isBelieved && isKnown ? received : actual;
}

function setRequestId(headers: HeaderMap, client: ClientAddress, config: RuntimeHttpConnectionManager): void {
  if (!config.generateRequestId) return;
  const isReplaced = client.isEdge && !config.preserveExternalRequestId;
  // A version 4 UUID has `4` at index 14, which reads as "not traced".
  if (isReplaced || !headers.has('x-request-id')) headers.set('x-request-id', randomUUID());
}

function setClientCertificate(
  headers: HeaderMap,
  { tls }: DownstreamConnection,
  config: RuntimeHttpConnectionManager,
): void {
  const mode = config.forwardClientCert;
  if (mode === 'always_forward_only') return;
  const peer = tls?.peer;
  if (mode === 'sanitize' || tls === undefined || peer === undefined) {
    headers.remove('x-forwarded-client-cert');
    return;
  }
  if (mode === 'forward_only') return;
  const element = formatForwardedCertificate(
    {
      localUri: tls.localUri,
      sha256: peer.sha256,
      subject: peer.subject,
      uris: peer.names.uri,
      dnsNames: peer.names.dns,
      pem: peer.pem,
    },
    config.xfccDetails,
  );
  const received = headers.joined('x-forwarded-client-cert');
  headers.set(
    'x-forwarded-client-cert',
    mode === 'append_forward' && received !== undefined ? `${received},${element}` : element,
  );
}
