import type { IncomingMessage, ServerResponse } from 'node:http';
import { ISSUER, type ServiceAccountTokens } from '../auth/service-account-tokens.ts';
import type { TypeRegistry } from '../kinds/type-registry.ts';
import { aggregatedDiscovery, legacyGroupDocument, legacyGroups, legacyResources } from './discovery.ts';
import type { OpenApi } from './openapi.ts';
import { sendJson } from './respond.ts';

/** What answering paths that are not about a resource needs. */
export interface PathHandlerOptions {
  readonly types: TypeRegistry;
  readonly openApi: OpenApi;
  readonly tokens: ServiceAccountTokens;
}

const VERSION = {
  major: '1',
  minor: '33',
  gitVersion: 'v1.33.0-meltemi',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: 'none',
  compiler: 'node',
  platform: 'linux/amd64',
};

/**
 * OpenAPI v2 without any kind, in the only encoding kubectl reads: `{swagger: "2.0", info: {title, version}}` of gnostic.
 * kubectl asks for it when a kind is not in v3, and only then goes on to say that there is no such kind.
 */
const EMPTY_OPENAPI_V2 = Buffer.from('\n\x032.0\x12\r\n\x07meltemi\x12\x02v1', 'latin1');
const OPENAPI_V2_TYPE = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/** The version of aggregated discovery that a client asks for first; `undefined` when it wants the older lists. */
function discoveryVersion(accept: string): 'v2' | 'v2beta1' | undefined {
  for (const part of accept.split(',')) {
    const version = /g=apidiscovery\.k8s\.io;v=(v2beta1|v2)\b/.exec(part)?.[1];
    if (version === 'v2' || version === 'v2beta1') return version;
  }
  return undefined;
}

/** Answers health, version, discovery, OpenAPI and the issuer's documents. */
export function createPathHandler({
  types,
  openApi,
  tokens,
}: PathHandlerOptions): (request: IncomingMessage, response: ServerResponse, path: string) => boolean {
  function answerDiscovery(request: IncomingMessage, response: ServerResponse, path: string): boolean {
    const version = discoveryVersion(request.headers.accept ?? '');
    const isCore = path === '/api';
    if (version !== undefined) {
      const body = aggregatedDiscovery(types.all(), isCore, `apidiscovery.k8s.io/${version}`);
      // Exactly this type: with a plain one kubectl takes the answer for the older list and finds no kinds.
      sendJson(response, 200, body, `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`);
    } else
      sendJson(
        response,
        200,
        isCore ? { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] } : legacyGroups(types.all()),
      );
    return true;
  }

  function documentOf(path: string): object | string | undefined {
    const [, first, second, third, ...rest] = path.split('/');
    if (path === '/version') return VERSION;
    if (path === '/openid/v1/jwks') return tokens.jwks();
    if (path === '/.well-known/openid-configuration')
      return {
        issuer: ISSUER,
        jwks_uri: `${ISSUER}/openid/v1/jwks`,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['ES256'],
      };
    if (path === '/openapi/v3') return openApi.index();
    if (path.startsWith('/openapi/v3/')) return openApi.document(path.slice('/openapi/v3/'.length));
    // What is longer names a resource that is not served.
    if (rest.length > 0 || (first === 'api' && third !== undefined)) return undefined;
    if (first === 'api' && second !== undefined) return legacyResources(types.all(), '', second);
    if (first === 'apis' && second !== undefined)
      return third === undefined
        ? legacyGroupDocument(types.all(), second)
        : legacyResources(types.all(), second, third);
    return undefined;
  }

  return (request, response, path) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return false;
    const clean = path.length > 1 ? path.replace(/\/$/, '') : path;
    if (/^\/(healthz|livez|readyz)(\/.*)?$/.test(clean)) {
      response.writeHead(200, { 'Content-Type': 'text/plain' }).end('ok');
      return true;
    }
    if (clean === '/api' || clean === '/apis') return answerDiscovery(request, response, clean);
    if (clean === '/openapi/v2' && request.headers.accept?.includes('protobuf') === true) {
      response.writeHead(200, { 'Content-Type': OPENAPI_V2_TYPE, 'Content-Length': EMPTY_OPENAPI_V2.length });
      response.end(EMPTY_OPENAPI_V2);
      return true;
    }
    const document = documentOf(clean);
    if (document === undefined) return false;
    sendJson(response, 200, document);
    return true;
  };
}
