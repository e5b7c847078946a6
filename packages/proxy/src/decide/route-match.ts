import { assertNever } from '@meltemi/base/pure';
import { RE2JS } from 're2js';
import type { RuntimePathMatch, RuntimeRouteMatch } from '../config/runtime-config.ts';
import { compileHeaderMatcher, compileQueryParameterMatcher, type RequestPredicate } from './header-match.ts';
import { isGrpcContentType, pathWithoutQuery, type RequestView } from './request-view.ts';

function compilePathMatch(match: RuntimePathMatch): RequestPredicate {
  if (match.kind === 'connect') return ({ method }) => method === 'CONNECT';
  if (match.kind === 'regex') {
    const pattern = RE2JS.compile(match.regex);
    return ({ path }) => pattern.testExact(pathWithoutQuery(path));
  }
  const { caseSensitive } = match;
  const wanted = caseSensitive ? match.value : match.value.toLowerCase();
  const read = caseSensitive
    ? (request: RequestView): string => request.path
    : (request: RequestView): string => request.path.toLowerCase();
  switch (match.kind) {
    case 'prefix':
      return wanted === '/' ? ({ path }) => path.charCodeAt(0) === 0x2f : (request) => read(request).startsWith(wanted);
    case 'path':
      return (request) => pathWithoutQuery(read(request)) === wanted;
    case 'path_separated_prefix':
      return (request) => {
        const path = pathWithoutQuery(read(request));
        return path.startsWith(wanted) && (path.length === wanted.length || path[wanted.length] === '/');
      };
    default:
      return assertNever(match, 'path match');
  }
}

/**
 * Compiles the conditions of a route.
 *
 * @returns A function of the request and a draw in [0, 1), which `runtime_fraction` goes by.
 */
export function compileRouteMatch(match: RuntimeRouteMatch): (request: RequestView, draw: number) => boolean {
  const path = compilePathMatch(match.path);
  const conditions: RequestPredicate[] = [
    ...match.headers.map(compileHeaderMatcher),
    ...match.queryParameters.map(compileQueryParameterMatcher),
  ];
  if (match.grpc) conditions.push(({ headers }) => isGrpcContentType(headers.get('content-type')));
  const share = match.fraction === undefined ? 1 : match.fraction.perMillion / 1_000_000;
  const matchesConnect = match.path.kind === 'connect';
  if (conditions.length === 0 && share === 1 && !matchesConnect) {
    return (request) => request.method !== 'CONNECT' && path(request);
  }
  return (request, draw) => {
    // CONNECT has no path; only a route that asks for it takes it.
    if ((request.method === 'CONNECT') !== matchesConnect || !path(request) || draw >= share) return false;
    for (const condition of conditions) if (!condition(request)) return false;
    return true;
  };
}
