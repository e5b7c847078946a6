import { HeaderMap } from '../../codec/header-map.ts';
import type { RuntimeCorsPolicy } from '../../config/runtime-config.ts';
import { compileStringMatcher, type TextPredicate } from '../../decide/string-match.ts';
import type { HttpFilter } from './http-filter.ts';
import type { HttpStream } from './http-stream.ts';

// Origins of policies in route tables, compiled with the first request that meets them.
const compiledOrigins = new WeakMap<RuntimeCorsPolicy, readonly TextPredicate[]>();

/** The request's origin, when the policy allows it. */
function allowedOrigin(policy: RuntimeCorsPolicy, stream: HttpStream): string | undefined {
  const origin = stream.request.headers.get('origin');
  if (origin === undefined) return undefined;
  let tests = compiledOrigins.get(policy);
  if (tests === undefined) {
    tests = policy.allowOrigins.map(compileStringMatcher);
    compiledOrigins.set(policy, tests);
  }
  return tests.some((test) => test(origin)) ? origin : undefined;
}

function isPreflight({ request }: HttpStream): boolean {
  return request.method === 'OPTIONS' && request.headers.has('access-control-request-method');
}

function setOrigin(headers: HeaderMap, policy: RuntimeCorsPolicy, origin: string): void {
  headers.set('access-control-allow-origin', origin);
  if (policy.allowCredentials) headers.set('access-control-allow-credentials', 'true');
}

/** Answers preflight requests and marks the answers to the requests that follow them. */
export function createCorsFilter(name: string): HttpFilter {
  return {
    name,
    onRequestHeaders(stream) {
      const policy = stream.filterOverride('cors');
      if (policy?.enabled !== true || !isPreflight(stream)) return 'continue';
      const origin = allowedOrigin(policy, stream);
      if (origin === undefined && policy.forwardNotMatchingPreflights) return 'continue';
      const headers = new HeaderMap();
      if (origin !== undefined) {
        setOrigin(headers, policy, origin);
        if (policy.allowMethods !== undefined) headers.set('access-control-allow-methods', policy.allowMethods);
        if (policy.allowHeaders !== undefined) headers.set('access-control-allow-headers', policy.allowHeaders);
        if (policy.maxAge !== undefined) headers.set('access-control-max-age', policy.maxAge);
      }
      stream.sendLocalReply({ status: 200, body: '', details: 'cors_response', headers });
      return 'stop';
    },
    onResponseHeaders(stream, { headers }) {
      const policy = stream.filterOverride('cors');
      if (policy?.enabled !== true || headers.has('access-control-allow-origin')) return;
      const origin = allowedOrigin(policy, stream);
      if (origin === undefined) return;
      setOrigin(headers, policy, origin);
      if (policy.exposeHeaders !== undefined) headers.set('access-control-expose-headers', policy.exposeHeaders);
    },
  };
}
