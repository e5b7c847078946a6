import type { Log } from '@meltemi/base';
import type { CallerIdentity } from '@meltemi/xds/server';
import { formatBoundedJson } from './bounded-json.ts';
import type { DebugAnswer, DebugPage } from './debug-page.ts';

/** What an answer may have at most, in characters. */
const MAX_ANSWER_LENGTH = 32 * 1024 * 1024;

/** Who asks: a process of the own pod, or who it proved to be; `undefined` has proved nothing. */
export type DebugCaller = 'local' | CallerIdentity | undefined;

/** A question as it comes in. */
export interface DebugRequest {
  /** Name of the page, such as `syncz`; empty for the list of all. */
  readonly name: string;
  readonly query: URLSearchParams;
  readonly caller: DebugCaller;
  readonly signal: AbortSignal;
}

/** A finished answer. */
export interface DebugResponse {
  /** As in HTTP. */
  readonly status: number;
  /** JSON. */
  readonly body: string;
}

/** Answers questions about the control plane; HTTP and discovery bring them here. */
export type DebugDesk = (request: DebugRequest) => Promise<DebugResponse>;

/** What {@link createDebugDesk} works with. */
export interface DebugDeskOptions {
  /** By name. */
  readonly pages: ReadonlyMap<string, DebugPage>;
  /** Namespaces whose accounts may see everything: the control plane's, and those that an operator names. */
  readonly trustedNamespaces: ReadonlySet<string>;
  readonly log: Log;
}

/**
 * Creates the one place that knows who may see what: the own pod and trusted namespaces everything, other workloads their
 * own namespace's proxies, and whoever proved nothing not even which pages there are.
 *
 * @see Istio, `DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES`
 */
export function createDebugDesk({ pages, trustedNamespaces, log }: DebugDeskOptions): DebugDesk {
  const listed = [...pages].map(([name, { help }]) => ({ name, help }));
  const find = async ({ name, query, caller, signal }: DebugRequest): Promise<DebugAnswer> => {
    if (caller === undefined) return refusal(401, 'debug pages are for callers that prove who they are');
    const seesAll = caller === 'local' || trustedNamespaces.has(caller.namespace);
    if (name === '' || name === 'list') return { value: listed };
    const page = pages.get(name);
    if (page === undefined) return { status: 404, value: { error: `no page "${name}"`, pages: [...pages.keys()] } };
    if (!seesAll && page.isAboutProxy !== true) {
      return refusal(403, `namespace "${caller.namespace}" may only ask about its own proxies: ${proxyPages(pages)}`);
    }
    return page.answer({ query, signal, maySee: (namespace) => seesAll || namespace === caller.namespace });
  };
  return async (request) => {
    const { status = 200, value } = await find(request);
    log.debug('Debug page', { page: request.name, status, caller: describeCaller(request.caller) });
    const body = formatBoundedJson(value, MAX_ANSWER_LENGTH);
    return body.ok ? { status, body: body.value } : { status: 413, body: `${JSON.stringify({ error: body.error })}\n` };
  };
}

function refusal(status: number, error: string): DebugAnswer {
  return { status, value: { error } };
}

function proxyPages(pages: ReadonlyMap<string, DebugPage>): string {
  return [...pages].flatMap(([name, { isAboutProxy }]) => (isAboutProxy === true ? [name] : [])).join(', ');
}

function describeCaller(caller: DebugCaller): string {
  if (caller === undefined) return 'anonymous';
  return caller === 'local' ? 'local' : `${caller.namespace}/${caller.serviceAccount}`;
}
