import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '@meltemi/base';
import type { Authorizer } from '../auth/rbac.ts';
import { answerReview } from '../auth/reviews.ts';
import type { ServiceAccountTokens } from '../auth/service-account-tokens.ts';
import { answerTokenRequest } from '../auth/token-request.ts';
import { StatusError } from '../errors.ts';
import type { ResourceType } from '../kinds/resource-type.ts';
import { type JsonObject, listOf } from '../objects/json-value.ts';
import { printTable, wantsTable } from '../printing/table.ts';
import type { ObjectDeleter } from '../rest/delete-objects.ts';
import type { KubeletProxy } from '../rest/kubelet-proxy.ts';
import { patchObject } from '../rest/patch-objects.ts';
import { jsonAtVersion, listJson, listObjects, metadataListJson, readObject } from '../rest/read-objects.ts';
import type { RequestContext } from '../rest/request-context.ts';
import { applyScale, scalePathsOf, toScale } from '../rest/scale.ts';
import { watchObjects } from '../rest/watch-objects.ts';
import type { ObjectWriter } from '../rest/write-objects.ts';
import type { ObjectStore, StoredObject } from '../store/object-store.ts';
import { checkAccept, wantsMetadataList } from './accept.ts';
import { checkContentType, parseObject, readBody } from './request-body.ts';
import { sendJson, setWarnings } from './respond.ts';
import { refuseUnserved } from './unserved.ts';

/** What answering requests about resources needs. */
export interface ResourceHandlerOptions {
  readonly store: ObjectStore;
  readonly writer: ObjectWriter;
  readonly deleter: ObjectDeleter;
  readonly tokens: ServiceAccountTokens;
  readonly authorizer: Authorizer;
  readonly kubelet: KubeletProxy;
  readonly clock: Clock;
}

/** Answers every request about a resource, once it is known to be allowed. */
export function createResourceHandler(
  options: ResourceHandlerOptions,
): (request: IncomingMessage, response: ServerResponse, context: RequestContext) => Promise<void> {
  const { store, writer, deleter, clock } = options;

  async function bodyOf(request: IncomingMessage, { type }: RequestContext): Promise<JsonObject> {
    const messages: Readonly<Record<string, string>> = {
      DeleteOptions: 'meta.DeleteOptions',
      TokenRequest: 'authentication.TokenRequest',
      Scale: 'autoscaling.Scale',
    };
    checkContentType(request.headers['content-type']);
    return parseObject(await readBody(request), (kind) => (kind === type.kind ? type.fields : messages[kind]));
  }

  /** Options of a deletion come in the body or in the query. */
  async function deleteOptionsOf(request: IncomingMessage, context: RequestContext): Promise<JsonObject> {
    const { query } = context.info;
    const options = await bodyOf(request, context);
    const grace = query.get('gracePeriodSeconds');
    if (grace !== null) options['gracePeriodSeconds'] ??= Number(grace);
    if (query.has('propagationPolicy')) options['propagationPolicy'] ??= query.get('propagationPolicy');
    return options;
  }

  async function deletion(
    request: IncomingMessage,
    context: RequestContext,
    remove: ObjectDeleter['remove'],
  ): Promise<string | object> {
    const options = await deleteOptionsOf(request, context);
    return remove({ ...context, isDryRun: context.isDryRun || listOf(options['dryRun']).length > 0 }, options);
  }

  function sendStored(response: ServerResponse, context: RequestContext, code: number, stored: StoredObject): void {
    setWarnings(response, context.warnings);
    const isScale = context.path.subresource === 'scale';
    sendJson(response, code, isScale ? toScale(context.type, stored.object) : jsonAtVersion(context.type, stored));
  }

  function read(request: IncomingMessage, response: ServerResponse, context: RequestContext): void {
    const { type, info, path } = context;
    const { accept } = request.headers;
    checkAccept(accept);
    const isTable = wantsTable(accept) && path.subresource === '';
    const table = (stored: readonly StoredObject[], isFirst = true): string =>
      printTable({ type, stored, query: info.query, isFirst, revision: store.revision(), nowMs: clock.nowMs() });
    if (info.verb === 'watch') {
      watchObjects({
        store,
        clock,
        response,
        context,
        printTable: isTable ? (stored, isFirst) => table([stored], isFirst) : undefined,
      });
    } else if (info.verb === 'list') {
      const json = wantsMetadataList(accept) ? metadataListJson : listJson;
      sendJson(response, 200, isTable ? table(listObjects(store, context)) : json(store, context));
    } else if (isTable) sendJson(response, 200, table([readObject(store, context)]));
    else sendStored(response, context, 200, readObject(store, context));
  }

  async function create(request: IncomingMessage, response: ServerResponse, context: RequestContext): Promise<void> {
    const { type, path } = context;
    const body = await bodyOf(request, context);
    if (type.isVirtual) return sendJson(response, 201, answerReview(options, type.kind, body, context.user));
    if (path.name !== undefined)
      throw new StatusError('MethodNotAllowed', 'objects are created at the path of their list');
    if (!type.isManaged)
      context.warnings.push(`${type.plural} are stored, but nothing in this environment acts on them`);
    sendStored(response, context, 201, await writer.create(context, body));
  }

  async function main(request: IncomingMessage, response: ServerResponse, context: RequestContext): Promise<void> {
    const { verb } = context.info;
    switch (verb) {
      case 'get':
      case 'list':
      case 'watch':
        return read(request, response, context);
      case 'create':
        return create(request, response, context);
      case 'update':
        return sendStored(response, context, 200, await writer.replace(context, await bodyOf(request, context)));
      case 'patch':
        return patch(request, response, context);
      case 'delete':
        return sendJson(response, 200, await deletion(request, context, (...args) => deleter.remove(...args)));
      case 'deletecollection':
        return sendJson(response, 200, await deletion(request, context, (...args) => deleter.removeAll(...args)));
      default:
        throw new StatusError(
          'MethodNotAllowed',
          `the server does not allow the method ${request.method} on this resource`,
        );
    }
  }

  async function patch(request: IncomingMessage, response: ServerResponse, context: RequestContext): Promise<void> {
    const mediaType = (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '';
    const { stored, isNew } = await patchObject(
      { store, writer, clock },
      { context, mediaType, body: await readBody(request) },
    );
    sendStored(response, context, isNew ? 201 : 200, stored);
  }

  async function scale(request: IncomingMessage, response: ServerResponse, context: RequestContext): Promise<void> {
    scalePathsOf(context.type);
    if (context.info.verb === 'get') return sendStored(response, context, 200, readObject(store, context));
    if (context.info.verb === 'patch') return patch(request, response, context);
    const body = await bodyOf(request, context);
    sendStored(response, context, 200, await writer.change(context, (copy) => applyScale(context.type, copy, body)));
  }

  async function token(request: IncomingMessage, response: ServerResponse, context: RequestContext): Promise<void> {
    if (context.info.verb !== 'create') throw new StatusError('MethodNotAllowed', 'tokens can only be created');
    const body = await bodyOf(request, context);
    sendJson(response, 201, answerTokenRequest(options, readObject(store, context).object, body));
  }

  function hasSubresource(type: ResourceType, subresource: string): boolean {
    const isCore = type.group === '';
    if (subresource === 'status') return type.hasStatus;
    if (subresource === 'finalize') return isCore && type.kind === 'Namespace';
    return subresource === 'scale' && type.scale !== undefined;
  }

  return async (request, response, context) => {
    const { type, path } = context;
    const { subresource } = path;
    if (subresource === '') return main(request, response, context);
    const isPod = type.group === '' && type.kind === 'Pod';
    if (isPod && subresource === 'log')
      return options.kubelet.sendLog(response, context, readObject(store, context).object);
    if (isPod && subresource === 'exec')
      throw new StatusError(
        'BadRequest',
        'exec needs a WebSocket (subprotocol v5.channel.k8s.io): use kubectl 1.30 or newer, or "meltemi exec"; SPDY is not served',
      );
    refuseUnserved(type, subresource);
    if (type.group === '' && type.kind === 'ServiceAccount' && subresource === 'token')
      return token(request, response, context);
    if (!hasSubresource(type, subresource))
      throw new StatusError('NotFound', 'the server could not find the requested resource');
    if (context.info.verb === 'create' || context.info.verb === 'delete')
      throw new StatusError(
        'MethodNotAllowed',
        `the server does not allow the method ${request.method} on ${subresource}`,
      );
    return subresource === 'scale' ? scale(request, response, context) : main(request, response, context);
  };
}
