import type { HTTPMatchRequest, StringMatch } from '@meltemi/api';
import { namesGateway } from '@meltemi/api';
import { type Labels, matchLabels } from '@meltemi/model';
import type {
  HeaderMatcherSchema,
  QueryParameterMatcherSchema,
  RouteMatchSchema,
} from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import type { Init } from '../protobuf-values.ts';
import { isPresenceMatch, toRegexMatcher, toStringMatcher } from './string-match.ts';

type RouteMatchInit = Init<typeof RouteMatchSchema>;
type HeaderMatcherInit = Init<typeof HeaderMatcherSchema>;

/** What a match is compared with while routes are made, not when requests come. */
export interface StaticSelectors {
  /** `mesh`, or `<namespace>/<name>` of the Gateway that the routes are for. */
  readonly gateway: string;
  readonly listenerPort: number;
  readonly proxyNamespace: string;
  readonly proxyLabels: Labels;
}

/**
 * Whether a match can apply to this proxy and port at all.
 *
 * @param namespace Of the resource that holds the match.
 */
export function matchesStatically(match: HTTPMatchRequest, selectors: StaticSelectors, namespace: string): boolean {
  if (match.port !== undefined && match.port !== 0 && match.port !== selectors.listenerPort) return false;
  // A list of gateways takes the place of the selectors of the source.
  if (match.gateways !== undefined && match.gateways.length > 0)
    return namesGateway(match.gateways, namespace, selectors.gateway);
  if (match.sourceNamespace !== undefined && match.sourceNamespace !== selectors.proxyNamespace) return false;
  return matchLabels(match.sourceLabels, selectors.proxyLabels);
}

/** Whether any request satisfies it: routes after such a match are never reached. */
export function isCatchAll(match: HTTPMatchRequest | undefined): boolean {
  if (match === undefined) return true;
  const takesAnyPath =
    match.uri === undefined || isPresenceMatch(match.uri) || match.uri.prefix === '/' || match.uri.regex === '.*';
  const isEmpty = (record: object | undefined): boolean => Object.keys(record ?? {}).length === 0;
  return (
    takesAnyPath &&
    isEmpty(match.headers) &&
    isEmpty(match.withoutHeaders) &&
    isEmpty(match.queryParams) &&
    match.method === undefined &&
    match.authority === undefined &&
    match.scheme === undefined
  );
}

/** Translates what is compared when a request comes; everything matches where nothing is said. */
export function buildRouteMatch(match: HTTPMatchRequest | undefined): RouteMatchInit {
  if (match === undefined) return { pathSpecifier: { case: 'prefix', value: '/' } };
  return {
    pathSpecifier: toPathSpecifier(match.uri),
    ...(match.ignoreUriCase === true && match.uri?.regex === undefined ? { caseSensitive: false } : {}),
    headers: buildHeaderMatchers(match),
    queryParameters: Object.entries(match.queryParams ?? {}).map(([name, value]) => toQueryMatcher(name, value)),
  };
}

function toPathSpecifier(uri: StringMatch | undefined): NonNullable<RouteMatchInit['pathSpecifier']> {
  if (uri?.exact !== undefined) return { case: 'path', value: uri.exact };
  if (uri?.prefix !== undefined) return { case: 'prefix', value: uri.prefix };
  if (uri?.regex !== undefined) return { case: 'safeRegex', value: toRegexMatcher(uri.regex) };
  return { case: 'prefix', value: '/' };
}

function buildHeaderMatchers(match: HTTPMatchRequest): HeaderMatcherInit[] {
  const matchers = Object.entries(match.headers ?? {}).map(([name, value]) => toHeaderMatcher(name, value));
  for (const [name, value] of Object.entries(match.withoutHeaders ?? {})) {
    const isPresence = isPresenceMatch(value);
    // A header that is not there does not have the value either.
    matchers.push({
      ...toHeaderMatcher(name, value),
      invertMatch: true,
      ...(isPresence ? {} : { treatMissingHeaderAsEmpty: true }),
    });
  }
  if (match.method !== undefined) matchers.push(toHeaderMatcher(':method', match.method));
  if (match.authority !== undefined) matchers.push(toHeaderMatcher(':authority', match.authority));
  if (match.scheme !== undefined) matchers.push(toHeaderMatcher(':scheme', match.scheme));
  return matchers;
}

function toHeaderMatcher(name: string, value: StringMatch): HeaderMatcherInit {
  const matcher = isPresenceMatch(value) ? undefined : toStringMatcher(value);
  if (matcher === undefined) return { name, headerMatchSpecifier: { case: 'presentMatch', value: true } };
  return { name, headerMatchSpecifier: { case: 'stringMatch', value: matcher } };
}

function toQueryMatcher(name: string, value: StringMatch): Init<typeof QueryParameterMatcherSchema> {
  const matcher = isPresenceMatch(value) ? undefined : toStringMatcher(value);
  return {
    name,
    queryParameterMatchSpecifier:
      matcher === undefined ? { case: 'presentMatch', value: true } : { case: 'stringMatch', value: matcher },
  };
}
