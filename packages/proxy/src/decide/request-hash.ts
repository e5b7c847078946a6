import type { RuntimeHashPolicy } from '../config/runtime-config.ts';
import type { RequestView } from './request-view.ts';
import { xxHash64 } from './xx-hash.ts';

/** What a request's hash can be made of, apart from the request. */
export interface RequestOrigin {
  /** The trusted address of the client. */
  readonly clientIp: string;
  /** Both ends of the client's connection, which a generated cookie is made of. */
  readonly connectionText: string;
}

/** The outcome of hash policies. */
export interface RequestHash {
  /** Undefined: no policy found anything to hash. */
  readonly hash: bigint | undefined;
  /** Values of `set-cookie` that the answer must carry, so that the client comes back with the same hash. */
  readonly setCookies: readonly string[];
}

const NOTHING: RequestHash = { hash: undefined, setCookies: [] };

function cookieValue(header: string | undefined, name: string): string | undefined {
  for (const pair of (header ?? '').split(/[;,]/)) {
    const equals = pair.indexOf('=');
    if (equals === -1 || pair.slice(0, equals).trim() !== name) continue;
    const value = pair.slice(equals + 1).trim();
    return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
  }
  return undefined;
}

function queryValue(path: string, name: string): string | undefined {
  const start = path.indexOf('?');
  if (start === -1) return undefined;
  const query = path.slice(start + 1).split('#', 1)[0] as string;
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=');
    if ((equals === -1 ? pair : pair.slice(0, equals)) === name) return equals === -1 ? '' : pair.slice(equals + 1);
  }
  return undefined;
}

function setCookie(policy: RuntimeHashPolicy & { readonly kind: 'cookie' }, value: string): string {
  const maxAgeSeconds = Math.floor((policy.ttlMs ?? 0) / 1000);
  return [
    `${policy.name}="${value}"`,
    ...(maxAgeSeconds > 0 ? [`Max-Age=${maxAgeSeconds}`] : []),
    ...(policy.path === '' ? [] : [`Path=${policy.path}`]),
    ...policy.attributes.map((attribute) =>
      attribute.value === '' ? attribute.name : `${attribute.name}=${attribute.value}`,
    ),
    'HttpOnly',
  ].join('; ');
}

/** The order of repeated fields must not matter. */
function hashOfHeader(request: RequestView, name: string): bigint | undefined {
  if (name === ':authority') return request.authority === undefined ? undefined : xxHash64(request.authority);
  if (name === ':path') return xxHash64(request.path);
  if (name === ':method') return xxHash64(request.method);
  const values = request.headers.all(name);
  if (values.length === 0) return undefined;
  return [...values].sort().reduce((seed, value) => xxHash64(value, seed), 0n);
}

function hashByPolicy(
  policy: RuntimeHashPolicy,
  request: RequestView,
  origin: RequestOrigin,
  setCookies: string[],
): bigint | undefined {
  switch (policy.kind) {
    case 'header':
      return hashOfHeader(request, policy.name);
    case 'query': {
      const value = queryValue(request.path, policy.name);
      return value === undefined ? undefined : xxHash64(value);
    }
    case 'source_ip':
      return origin.clientIp === '' ? undefined : xxHash64(origin.clientIp);
    case 'cookie': {
      const present = cookieValue(request.headers.joined('cookie'), policy.name);
      if (present !== undefined && present !== '') return xxHash64(present);
      if (policy.ttlMs === undefined) return undefined;
      // The same for requests that race on one connection before the first answer.
      const value = xxHash64(origin.connectionText).toString(16).padStart(16, '0');
      setCookies.push(setCookie(policy, value));
      return xxHash64(value);
    }
  }
}

/** Hashes a request by all policies together; a terminal policy that found something ends the list. */
export function hashRequest(
  policies: readonly RuntimeHashPolicy[],
  request: RequestView,
  origin: RequestOrigin,
): RequestHash {
  if (policies.length === 0) return NOTHING;
  const setCookies: string[] = [];
  let hash: bigint | undefined;
  for (const policy of policies) {
    const found = hashByPolicy(policy, request, origin, setCookies);
    if (found !== undefined) {
      // Turned before it is combined, so that two policies of equal outcome do not cancel each other out.
      const turned = hash === undefined ? 0n : BigInt.asUintN(64, (hash << 1n) | (hash >> 63n));
      hash = turned ^ found;
    }
    if (policy.terminal && hash !== undefined) break;
  }
  return { hash, setCookies };
}
