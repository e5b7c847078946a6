import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Log, messageOf } from '@meltemi/base';
import { authenticate } from '../auth/authenticate.ts';
import type { AccessAttributes, Authorizer } from '../auth/rbac.ts';
import type { ServiceAccountTokens } from '../auth/service-account-tokens.ts';
import type { UserInfo } from '../auth/user-info.ts';
import { StatusError } from '../errors.ts';
import type { TypeRegistry } from '../kinds/type-registry.ts';
import type { KubeletProxy } from '../rest/kubelet-proxy.ts';
import { readObject } from '../rest/read-objects.ts';
import type { RequestContext } from '../rest/request-context.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { parseRequestInfo, type RequestInfo } from './request-info.ts';
import { checkRequestOptions } from './request-options.ts';
import { sendJson, setWarnings } from './respond.ts';
import { refuseUnserved } from './unserved.ts';

/** What the handler of all requests needs. */
export interface ApiHandlerOptions {
  readonly types: TypeRegistry;
  readonly tokens: ServiceAccountTokens;
  readonly authorizer: Authorizer;
  readonly store: ObjectStore;
  readonly kubelet: KubeletProxy;
  readonly log: Log;
  readonly handleResource: (
    request: IncomingMessage,
    response: ServerResponse,
    context: RequestContext,
  ) => Promise<void>;
  /** Answers paths that are not about a resource; `false` when it knows none such. */
  readonly handlePath: (
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    query: URLSearchParams,
  ) => boolean;
}

/** Handles requests, and upgrades to WebSocket. Neither ever throws. */
export interface ApiHandler {
  readonly request: (request: IncomingMessage, response: ServerResponse) => void;
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

function attributesOf({ verb, resource, path, query }: RequestInfo): AccessAttributes {
  if (resource === undefined)
    return { verb, group: '', resource: '', subresource: '', namespace: undefined, name: '', path };
  const { group, plural, subresource, namespace, name } = resource;
  // A list of one name, by the only selector that says nothing else, counts as that name: roles can then be held to it.
  const selected =
    name === undefined && (verb === 'list' || verb === 'watch')
      ? /^metadata\.name==?([a-z0-9.-]+)$/.exec(query.get('fieldSelector') ?? '')?.[1]
      : undefined;
  // Running a command changes the pod, whatever the method of the request that asks for it.
  const isExec = subresource === 'exec';
  return {
    verb: isExec ? 'create' : verb,
    group,
    resource: plural,
    subresource,
    namespace,
    name: name ?? selected ?? '',
    path: undefined,
  };
}

function describe(user: UserInfo, attributes: AccessAttributes): string {
  const { verb, group, resource, subresource, namespace, name, path } = attributes;
  if (path !== undefined) return `forbidden: User "${user.username}" cannot ${verb} path "${path}"`;
  const full = `${resource}${subresource === '' ? '' : `/${subresource}`}`;
  const where = namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  const what = `${resource}${group === '' ? '' : `.${group}`}${name === '' ? '' : ` "${name}"`}`;
  return `${what} is forbidden: User "${user.username}" cannot ${verb} resource "${full}" in API group "${group}" ${where}`;
}

/** Creates the handler. */
export function createApiHandler(options: ApiHandlerOptions): ApiHandler {
  const { types, tokens, authorizer, store, kubelet, log } = options;

  function check(user: UserInfo, attributes: AccessAttributes): void {
    if (authorizer.allows(user, attributes)) return;
    const { name, group, resource: kind, path } = attributes;
    throw new StatusError('Forbidden', describe(user, attributes), path === undefined ? { name, group, kind } : {});
  }

  /** `kubectl --as`: the caller must be allowed to be that user, and each of the groups. */
  function impersonated(request: IncomingMessage, user: UserInfo): UserInfo {
    const name = request.headers['impersonate-user'];
    if (typeof name !== 'string') return user;
    const header = request.headers['impersonate-group'] ?? [];
    const groups = (Array.isArray(header) ? header : header.split(',')).map((group) => group.trim());
    const attributes = { verb: 'impersonate', group: '', subresource: '', namespace: undefined, path: undefined };
    check(user, { ...attributes, resource: 'users', name });
    for (const group of groups) check(user, { ...attributes, resource: 'groups', name: group });
    return { username: name, groups: [...groups, 'system:authenticated'] };
  }

  function contextOf(request: IncomingMessage, info: RequestInfo, user: UserInfo): RequestContext | undefined {
    const path = info.resource;
    const type = path && types.find(path.group, path.version, path.plural);
    if (path === undefined || type === undefined) return undefined;
    if (type.isNamespaced && path.namespace === undefined && !['list', 'watch'].includes(info.verb))
      throw new StatusError('MethodNotAllowed', `${type.plural} belong to a namespace; the path names none`);
    checkRequestOptions(info);
    const agent = request.headers['user-agent']?.split('/')[0] ?? 'unknown';
    return {
      info,
      path,
      type,
      user,
      fieldManager: info.query.get('fieldManager') || agent,
      isDryRun: info.query.has('dryRun'),
      warnings: [],
    };
  }

  function sendError(
    response: ServerResponse,
    error: unknown,
    request: IncomingMessage,
    context: RequestContext | undefined,
  ): void {
    let status = error;
    if (
      error instanceof URIError ||
      (error instanceof TypeError && 'code' in error && error.code === 'ERR_INVALID_URL')
    )
      status = new StatusError('BadRequest', 'the path cannot be read');
    if (!(status instanceof StatusError)) {
      log.error('A request failed', {
        method: request.method,
        url: request.url,
        error: messageOf(error),
        stack: (error as Error).stack,
      });
      status = new StatusError('InternalError', `Internal error occurred: ${messageOf(error)}`);
    }
    if (response.headersSent) return void response.destroy();
    if (context !== undefined) setWarnings(response, context.warnings);
    const refusal = status as StatusError;
    if (refusal.httpCode === 401) response.setHeader('WWW-Authenticate', 'Bearer realm="meltemi"');
    // What is left of a body that nobody reads would be taken for the next request.
    if (!request.complete) response.setHeader('Connection', 'close');
    sendJson(response, refusal.httpCode, refusal.toStatus());
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let context: RequestContext | undefined;
    try {
      const info = parseRequestInfo(request.method ?? 'GET', request.url ?? '/');
      const user = impersonated(request, authenticate(request, tokens));
      check(user, attributesOf(info));
      context = contextOf(request, info, user);
      if (context !== undefined) await options.handleResource(request, response, context);
      else if (!options.handlePath(request, response, info.path, info.query))
        throw new StatusError('NotFound', 'the server could not find the requested resource');
    } catch (error) {
      sendError(response, error, request, context);
    }
  }

  function openExec(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const info = parseRequestInfo(request.method ?? 'GET', request.url ?? '/');
    const user = impersonated(request, authenticate(request, tokens));
    check(user, attributesOf(info));
    const context = contextOf(request, info, user);
    if (context !== undefined) refuseUnserved(context.type, context.path.subresource);
    if (context?.type.kind !== 'Pod' || context.path.subresource !== 'exec')
      throw new StatusError('BadRequest', 'WebSockets are served for the exec of pods only');
    kubelet.openExec(request, socket, head, readObject(store, context).object, context);
  }

  return {
    request: (request, response) => void handle(request, response),
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy());
      try {
        openExec(request, socket, head);
      } catch (error) {
        const status = error instanceof StatusError ? error : new StatusError('InternalError', messageOf(error));
        const body = JSON.stringify(status.toStatus());
        socket.end(
          `HTTP/1.1 ${status.httpCode} ${status.reason}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
        );
      }
    },
  };
}
