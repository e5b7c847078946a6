import type { MessageOf } from '../schema/message.ts';

/** Messages that several kinds are made of. */
export const sharedMessages = {
  StringMatch: {
    $doc: 'How a text is compared: exactly, by prefix, or by an RE2 regular expression that must cover all of it.',
    $oneof: [['exact', 'prefix', 'regex']],
    exact: 'string',
    prefix: 'string',
    regex: 'string',
  },
  Percent: { $doc: 'A share of requests, 0 to 100.', value: 'double' },
  PortSelector: { $doc: 'A port of the destination service.', number: 'uint32' },
  Destination: {
    $doc: 'A service that traffic is sent to, and optionally one of its subsets.',
    host: 'string!',
    subset: 'string',
    port: 'PortSelector',
  },
  WorkloadSelector: {
    $doc: 'The workloads that carry all of these labels.',
    matchLabels: 'map<string>',
  },
  TcpKeepalive: {
    $doc: 'TCP keepalive of a connection; unset members keep the operating system value.',
    probes: 'uint32',
    time: 'duration',
    interval: 'duration',
  },
  LocalityDistribute: { $doc: 'How traffic from one locality is spread.', from: 'string', to: 'map<uint32>' },
  LocalityFailover: { $doc: 'The region that takes over for another.', from: 'string', to: 'string' },
  LocalityLoadBalancerSetting: {
    $doc: 'Which localities are preferred.',
    distribute: 'LocalityDistribute[]',
    failover: 'LocalityFailover[]',
    failoverPriority: 'string[]',
    enabled: 'bool',
  },
  ZoneAwareLoadBalancerSetting: {
    $doc: 'Zone aware routing: the own zone first, by the share of load that it can take.',
    enabled: 'bool',
    minClusterSize: 'uint32',
    failover: 'LocalityFailover[]',
  },
  TcpSettings: {
    $doc: 'Limits of TCP connections to the destination.',
    maxConnections: 'int32',
    connectTimeout: 'duration',
    tcpKeepalive: 'TcpKeepalive',
    maxConnectionDuration: 'duration',
    idleTimeout: 'duration',
  },
  Http2KeepAlive: { $doc: 'HTTP/2 PING probes.', interval: 'duration', timeout: 'duration' },
  HttpSettings: {
    $doc: 'Limits of HTTP requests to the destination.',
    http1MaxPendingRequests: 'int32',
    http2MaxRequests: 'int32',
    maxRequestsPerConnection: 'int32',
    maxRetries: 'int32',
    idleTimeout: 'duration',
    h2UpgradePolicy: ['DEFAULT', 'DO_NOT_UPGRADE', 'UPGRADE'],
    useClientProtocol: 'bool',
    maxConcurrentStreams: 'int32',
    http2KeepAlive: 'Http2KeepAlive',
  },
  ConnectionPoolSettings: { $doc: 'Connection pool of the destination.', tcp: 'TcpSettings', http: 'HttpSettings' },
  OutlierDetection: {
    $doc: 'When an endpoint is taken out of load balancing, and for how long.',
    consecutiveErrors: 'int32',
    splitExternalLocalOriginErrors: 'bool',
    consecutiveLocalOriginFailures: 'uint32',
    consecutiveGatewayErrors: 'uint32',
    consecutive5xxErrors: 'uint32',
    outlierDetectionHttpErrorCodes: 'uint32[]',
    interval: 'duration',
    baseEjectionTime: 'duration',
    maxEjectionPercent: 'int32',
    minHealthPercent: 'int32',
  },
  HTTPRetry: {
    $doc: 'Retries of a failed request.',
    attempts: 'int32',
    perTryTimeout: 'duration',
    retryOn: 'string',
    retryRemoteLocalities: 'bool',
    retryIgnorePreviousHosts: 'bool',
    backoff: 'duration',
  },
} as const;

/** The table type that kinds extend with their own messages. */
export type SharedMessages = typeof sharedMessages;
/** How a text is compared. */
export interface StringMatch extends MessageOf<SharedMessages, 'StringMatch'> {}
/** A service that traffic is sent to, and optionally one of its subsets. */
export interface Destination extends MessageOf<SharedMessages, 'Destination'> {}
/** The workloads that carry all of these labels. */
export interface WorkloadSelector extends MessageOf<SharedMessages, 'WorkloadSelector'> {}
/** Connection pool of a destination. */
export interface ConnectionPoolSettings extends MessageOf<SharedMessages, 'ConnectionPoolSettings'> {}
/** When an endpoint is taken out of load balancing. */
export interface OutlierDetection extends MessageOf<SharedMessages, 'OutlierDetection'> {}
/** Which localities are preferred. */
export interface LocalityLoadBalancerSetting extends MessageOf<SharedMessages, 'LocalityLoadBalancerSetting'> {}
/** Retries of a failed request. */
export interface HTTPRetry extends MessageOf<SharedMessages, 'HTTPRetry'> {}
/** TCP keepalive of a connection. */
export interface TcpKeepalive extends MessageOf<SharedMessages, 'TcpKeepalive'> {}
