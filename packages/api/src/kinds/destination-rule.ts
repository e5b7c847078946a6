import type { KubernetesObject } from '../object.ts';
import type { MessageOf } from '../schema/message.ts';
import type { SharedMessages } from './shared-messages.ts';

/** The messages that a DestinationRule is made of, besides the shared ones. */
export const destinationRuleMessages = {
  DestinationRuleSpec: {
    $doc: 'How callers reach a host once routing has chosen it.',
    host: 'string!',
    trafficPolicy: 'TrafficPolicy',
    subsets: 'Subset[]',
    exportTo: 'string[]',
    workloadSelector: 'WorkloadSelector',
  },
  Subset: {
    $doc: 'A named group of the endpoints of the host, by label.',
    name: 'string!',
    labels: 'map<string>',
    trafficPolicy: 'TrafficPolicy',
  },
  TrafficPolicy: {
    $doc: 'Load balancing, connection pool, ejection of endpoints and TLS towards the destination.',
    loadBalancer: 'LoadBalancerSettings',
    connectionPool: 'ConnectionPoolSettings',
    outlierDetection: 'OutlierDetection',
    tls: 'ClientTLSSettings',
    portLevelSettings: 'PortTrafficPolicy[]',
    tunnel: 'TunnelSettings',
    proxyProtocol: 'ProxyProtocol',
    retryBudget: 'RetryBudget',
  },
  PortTrafficPolicy: {
    $doc: 'The policy of one port; it replaces the policy of the destination as a whole.',
    port: 'PortSelector',
    loadBalancer: 'LoadBalancerSettings',
    connectionPool: 'ConnectionPoolSettings',
    outlierDetection: 'OutlierDetection',
    tls: 'ClientTLSSettings',
  },
  LoadBalancerSettings: {
    $doc: 'How an endpoint is chosen.',
    $oneof: [['simple', 'consistentHash']],
    simple: ['UNSPECIFIED', 'LEAST_CONN', 'RANDOM', 'PASSTHROUGH', 'ROUND_ROBIN', 'LEAST_REQUEST'],
    consistentHash: 'ConsistentHashLB',
    localityLbSetting: 'LocalityLoadBalancerSetting',
    zoneAwareLbSetting: 'ZoneAwareLoadBalancerSetting',
    warmupDurationSecs: 'duration',
    warmup: 'WarmupConfiguration',
  },
  WarmupConfiguration: {
    $doc: 'Gradual increase of traffic to a new endpoint.',
    duration: 'duration!',
    minimumPercent: 'double',
    aggression: 'double',
  },
  ConsistentHashLB: {
    $doc: 'The same key reaches the same endpoint.',
    $oneof: [
      ['httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName'],
      ['ringHash', 'maglev'],
    ],
    httpHeaderName: 'string',
    httpCookie: 'HTTPCookie',
    useSourceIp: 'bool',
    httpQueryParameterName: 'string',
    ringHash: 'RingHash',
    maglev: 'MagLev',
    minimumRingSize: 'uint32',
  },
  HTTPCookie: {
    $doc: 'The cookie that the key is taken from; it is set when absent and a lifetime is given.',
    name: 'string!',
    path: 'string',
    ttl: 'duration',
    attributes: 'HTTPCookieAttribute[]',
  },
  HTTPCookieAttribute: { $doc: 'An attribute of the cookie.', name: 'string', value: 'string' },
  RingHash: { $doc: 'Ketama ring.', minimumRingSize: 'uint32' },
  MagLev: { $doc: 'Maglev table.', tableSize: 'uint32' },
  ClientTLSSettings: {
    $doc: 'TLS towards the destination.',
    mode: ['DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL'],
    clientCertificate: 'string',
    privateKey: 'string',
    caCertificates: 'string',
    credentialName: 'string',
    subjectAltNames: 'string[]',
    sni: 'string',
    insecureSkipVerify: 'bool',
    caCrl: 'string',
  },
  TunnelSettings: {
    $doc: 'Carries TCP connections through an HTTP tunnel.',
    protocol: 'string',
    targetHost: 'string!',
    targetPort: 'uint32!',
  },
  ProxyProtocol: { $doc: 'PROXY protocol towards the destination.', version: ['V1', 'V2'] },
  RetryBudget: {
    $doc: 'Share of active requests that may be retries.',
    percent: 'double',
    minRetryConcurrency: 'uint32',
    budgetInterval: 'duration',
  },
} as const;

type Messages = SharedMessages & typeof destinationRuleMessages;

/** How callers reach a host once routing has chosen it. */
export interface DestinationRuleSpec extends MessageOf<Messages, 'DestinationRuleSpec'> {}
/** A named group of the endpoints of the host, by label. */
export interface Subset extends MessageOf<Messages, 'Subset'> {}
/** Load balancing, connection pool, ejection of endpoints and TLS towards the destination. */
export interface TrafficPolicy extends MessageOf<Messages, 'TrafficPolicy'> {}
/** The policy of one port. */
export interface PortTrafficPolicy extends MessageOf<Messages, 'PortTrafficPolicy'> {}
/** How an endpoint is chosen. */
export interface LoadBalancerSettings extends MessageOf<Messages, 'LoadBalancerSettings'> {}
/** The same key reaches the same endpoint. */
export interface ConsistentHashLB extends MessageOf<Messages, 'ConsistentHashLB'> {}
/** TLS towards the destination. */
export interface ClientTLSSettings extends MessageOf<Messages, 'ClientTLSSettings'> {}
/** Policies for the traffic to a host after routing: networking.istio.io. */
export interface DestinationRule extends KubernetesObject<'DestinationRule', DestinationRuleSpec> {}
