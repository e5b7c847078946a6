import { status } from '@grpc/grpc-js';
import { err, ok } from '@meltemi/base';
import { encodeResource } from '@meltemi/xds';
import type { DiscoveryQuestions } from '@meltemi/xds/server';
import type { DebugDesk } from './debug-desk.ts';

/** Type of every answer, and of questions whose resource name is a page with its parameters, as after `/debug/`. */
const DEBUG_TYPE = 'istio.io/debug';

/** What gRPC calls the statuses of HTTP that pages answer with. */
const CODES: Readonly<Record<number, status>> = {
  400: status.INVALID_ARGUMENT,
  401: status.UNAUTHENTICATED,
  403: status.PERMISSION_DENIED,
  404: status.NOT_FOUND,
  413: status.RESOURCE_EXHAUSTED,
  503: status.UNAVAILABLE,
};

/** Serves debug pages over discovery, as `istio.io/debug` and as `istio.io/debug/<page>`. */
export function createDiscoveryDebug(desk: DebugDesk): DiscoveryQuestions {
  return {
    handles: (typeUrl) => typeUrl === DEBUG_TYPE || typeUrl.startsWith(`${DEBUG_TYPE}/`),
    async answer({ typeUrl, names, identity, signal }) {
      const [name = ''] = names;
      if (names.length > 1) return err({ code: status.INVALID_ARGUMENT, details: 'ask about one resource at a time' });
      const { status: httpStatus, body } = await desk({ ...readPage(typeUrl, name), caller: identity, signal });
      if (httpStatus === 200) return ok(encodeResource(DEBUG_TYPE, name, Buffer.from(body)));
      return err({ code: CODES[httpStatus] ?? status.INTERNAL, details: body.trim() });
    },
  };
}

/** With a type for the page, a plain resource name is the proxy that the page is about. */
function readPage(typeUrl: string, resourceName: string): { readonly name: string; readonly query: URLSearchParams } {
  if (typeUrl === DEBUG_TYPE) {
    const [name = '', ...query] = resourceName.split('?');
    return { name, query: new URLSearchParams(query.join('?')) };
  }
  const query = resourceName === '' ? {} : { proxyID: resourceName };
  return { name: typeUrl.slice(DEBUG_TYPE.length + 1), query: new URLSearchParams(query) };
}
