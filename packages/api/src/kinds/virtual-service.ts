import type { KubernetesObject } from '../object.ts';
import type { MessageOf } from '../schema/message.ts';
import type { SharedMessages } from './shared-messages.ts';

/** The messages that a VirtualService is made of, besides the shared ones. */
export const virtualServiceMessages = {
  VirtualServiceSpec: {
    $doc: 'Which traffic to the named hosts goes where.',
    hosts: 'string[]',
    gateways: 'string[]',
    http: 'HTTPRoute[]',
    tls: 'TLSRoute[]',
    tcp: 'TCPRoute[]',
    exportTo: 'string[]',
  },
  HTTPRoute: {
    $doc: 'What happens to requests that one of the matches covers; the first route that matches wins.',
    name: 'string',
    match: 'HTTPMatchRequest[]',
    route: 'HTTPRouteDestination[]',
    redirect: 'HTTPRedirect',
    directResponse: 'HTTPDirectResponse',
    delegate: 'Delegate',
    rewrite: 'HTTPRewrite',
    timeout: 'duration',
    retries: 'HTTPRetry',
    fault: 'HTTPFaultInjection',
    mirror: 'Destination',
    mirrors: 'HTTPMirrorPolicy[]',
    mirrorPercent: 'uint32',
    mirrorPercentage: 'Percent',
    corsPolicy: 'CorsPolicy',
    headers: 'Headers',
  },
  HTTPMatchRequest: {
    $doc: 'Properties that a request must have, all of them.',
    name: 'string',
    uri: 'StringMatch',
    scheme: 'StringMatch',
    method: 'StringMatch',
    authority: 'StringMatch',
    headers: 'map<StringMatch>',
    port: 'uint32',
    sourceLabels: 'map<string>',
    gateways: 'string[]',
    queryParams: 'map<StringMatch>',
    ignoreUriCase: 'bool',
    withoutHeaders: 'map<StringMatch>',
    sourceNamespace: 'string',
    statPrefix: 'string',
  },
  HTTPRouteDestination: {
    $doc: 'A destination and its share of the requests.',
    destination: 'Destination!',
    weight: 'int32',
    headers: 'Headers',
  },
  HTTPRedirect: {
    $doc: 'Answers with a redirect.',
    $oneof: [
      ['uri', 'prefixRewrite'],
      ['port', 'derivePort'],
    ],
    uri: 'string',
    prefixRewrite: 'string',
    authority: 'string',
    port: 'uint32',
    derivePort: ['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT'],
    scheme: 'string',
    redirectCode: 'uint32',
  },
  HTTPDirectResponse: { $doc: 'Answers without a destination.', status: 'uint32!', body: 'HTTPBody' },
  HTTPBody: { $doc: 'The body of a direct response.', $oneof: [['string', 'bytes']], string: 'string', bytes: 'bytes' },
  Delegate: {
    $doc: 'The VirtualService that holds the routes instead.',
    name: 'string',
    namespace: 'string',
  },
  HTTPRewrite: {
    $doc: 'Changes of the request before it is forwarded.',
    $oneof: [['uri', 'uriRegexRewrite']],
    uri: 'string',
    authority: 'string',
    uriRegexRewrite: 'RegexRewrite',
  },
  RegexRewrite: { $doc: 'Replaces what a regular expression matches.', match: 'string', rewrite: 'string' },
  HTTPFaultInjection: { $doc: 'Faults for tests of callers.', delay: 'FaultDelay', abort: 'FaultAbort' },
  FaultDelay: {
    $doc: 'Delays a share of the requests.',
    $oneof: [['fixedDelay', 'exponentialDelay']],
    percent: 'int32',
    fixedDelay: 'duration',
    exponentialDelay: 'duration',
    percentage: 'Percent',
  },
  FaultAbort: {
    $doc: 'Fails a share of the requests.',
    $oneof: [['httpStatus', 'grpcStatus', 'http2Error']],
    httpStatus: 'int32',
    grpcStatus: 'string',
    http2Error: 'string',
    percentage: 'Percent',
  },
  HTTPMirrorPolicy: {
    $doc: 'A destination that receives copies of requests.',
    destination: 'Destination!',
    percentage: 'Percent',
  },
  CorsPolicy: {
    $doc: 'Cross-origin resource sharing.',
    allowOrigin: 'string[]',
    allowOrigins: 'StringMatch[]',
    allowMethods: 'string[]',
    allowHeaders: 'string[]',
    exposeHeaders: 'string[]',
    maxAge: 'duration',
    allowCredentials: 'bool',
    unmatchedPreflights: ['UNSPECIFIED', 'FORWARD', 'IGNORE'],
  },
  Headers: { $doc: 'Changes of headers.', request: 'HeaderOperations', response: 'HeaderOperations' },
  HeaderOperations: {
    $doc: 'Headers to overwrite, append and remove.',
    set: 'map<string>',
    add: 'map<string>',
    remove: 'string[]',
  },
  TLSRoute: {
    $doc: 'Where TLS connections go that are passed through, by server name.',
    match: 'TLSMatchAttributes[]!',
    route: 'RouteDestination[]',
  },
  TLSMatchAttributes: {
    $doc: 'Properties of a TLS connection.',
    sniHosts: 'string[]!',
    destinationSubnets: 'string[]',
    port: 'uint32',
    sourceLabels: 'map<string>',
    gateways: 'string[]',
    sourceNamespace: 'string',
  },
  TCPRoute: {
    $doc: 'Where TCP connections go.',
    match: 'L4MatchAttributes[]',
    route: 'RouteDestination[]',
  },
  L4MatchAttributes: {
    $doc: 'Properties of a TCP connection.',
    destinationSubnets: 'string[]',
    port: 'uint32',
    sourceSubnet: 'string',
    sourceLabels: 'map<string>',
    gateways: 'string[]',
    sourceNamespace: 'string',
  },
  RouteDestination: {
    $doc: 'A destination and its share of the connections.',
    destination: 'Destination!',
    weight: 'int32',
  },
} as const;

type Messages = SharedMessages & typeof virtualServiceMessages;

/** Which traffic to the named hosts goes where. */
export interface VirtualServiceSpec extends MessageOf<Messages, 'VirtualServiceSpec'> {}
/** What happens to requests that one of its matches covers. */
export interface HTTPRoute extends MessageOf<Messages, 'HTTPRoute'> {}
/** Properties that a request must have, all of them. */
export interface HTTPMatchRequest extends MessageOf<Messages, 'HTTPMatchRequest'> {}
/** A destination and its share of the requests. */
export interface HTTPRouteDestination extends MessageOf<Messages, 'HTTPRouteDestination'> {}
/** Answers with a redirect. */
export interface HTTPRedirect extends MessageOf<Messages, 'HTTPRedirect'> {}
/** Answers without a destination. */
export interface HTTPDirectResponse extends MessageOf<Messages, 'HTTPDirectResponse'> {}
/** The VirtualService that holds the routes instead. */
export interface Delegate extends MessageOf<Messages, 'Delegate'> {}
/** Changes of the request before it is forwarded. */
export interface HTTPRewrite extends MessageOf<Messages, 'HTTPRewrite'> {}
/** Faults for tests of callers. */
export interface HTTPFaultInjection extends MessageOf<Messages, 'HTTPFaultInjection'> {}
/** A destination that receives copies of requests. */
export interface HTTPMirrorPolicy extends MessageOf<Messages, 'HTTPMirrorPolicy'> {}
/** Cross-origin resource sharing. */
export interface CorsPolicy extends MessageOf<Messages, 'CorsPolicy'> {}
/** Changes of headers. */
export interface RouteHeaders extends MessageOf<Messages, 'Headers'> {}
/** Headers to overwrite, append and remove. */
export interface HeaderOperations extends MessageOf<Messages, 'HeaderOperations'> {}
/** Where TLS connections go that are passed through. */
export interface TLSRoute extends MessageOf<Messages, 'TLSRoute'> {}
/** Where TCP connections go. */
export interface TCPRoute extends MessageOf<Messages, 'TCPRoute'> {}
/** Properties of a connection that TLS and TCP routes share. */
export type L4Match = Pick<
  MessageOf<Messages, 'TLSMatchAttributes'>,
  'destinationSubnets' | 'port' | 'sourceLabels' | 'gateways' | 'sourceNamespace'
>;
/** A destination and its share of the connections. */
export interface RouteDestination extends MessageOf<Messages, 'RouteDestination'> {}
/** Routing of the traffic to hosts: networking.istio.io. */
export interface VirtualService extends KubernetesObject<'VirtualService', VirtualServiceSpec> {}
