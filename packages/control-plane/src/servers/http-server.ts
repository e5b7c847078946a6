import { createServer, type IncomingMessage } from 'node:http';
import { type Log, messageOf, parseRequestTarget } from '@meltemi/base';
import {
  closeHttp,
  HTTP_TIME_LIMITS,
  type HttpAnswer,
  jsonAnswer,
  listenHttp,
  sendAnswer,
  textAnswer,
} from './http-listener.ts';
import type { ListenAddress } from './listen-address.ts';
import type { ListeningServer } from './webhook-server.ts';

/** Answers a GET; the parameters are those of the query. */
export type HttpPage = (query: URLSearchParams, signal: AbortSignal) => Promise<HttpAnswer> | HttpAnswer;

/** A request for a page of a folder. */
export interface HttpFolderRequest {
  /** Below the folder: empty, or with its slash. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly request: IncomingMessage;
  readonly signal: AbortSignal;
}

/** Answers GETs of everything below one path. */
export type HttpFolder = (request: HttpFolderRequest) => Promise<HttpAnswer>;

/** What {@link startHttpServer} serves. */
export interface HttpServerOptions {
  readonly address: ListenAddress;
  /** By path. */
  readonly pages: ReadonlyMap<string, HttpPage>;
  /** By path, without a slash at the end. */
  readonly folders?: ReadonlyMap<string, HttpFolder>;
  readonly log: Log;
}

/** Serves pages over plain HTTP: readiness and debug pages, or metrics. */
export async function startHttpServer(options: HttpServerOptions): Promise<ListeningServer> {
  const { log } = options;
  const server = createServer(HTTP_TIME_LIMITS, (request, response) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    answer(request, options, gone.signal).then(
      (result) => sendAnswer(response, result),
      (error: unknown) => {
        log.error('A page failed', { path: request.url ?? '', error: messageOf(error) });
        sendAnswer(response, jsonAnswer({ error: messageOf(error) }, 500));
      },
    );
  });
  const port = await listenHttp(server, options.address);
  return { port, [Symbol.asyncDispose]: () => closeHttp(server) };
}

async function answer(
  request: IncomingMessage,
  { pages, folders = new Map() }: HttpServerOptions,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return textAnswer('only GET is served\n', 405);
  const target = parseRequestTarget(request.url);
  if (target === undefined) return textAnswer('the request target cannot be read\n', 400);
  const { path, query } = target;
  for (const [root, folder] of folders) {
    if (path === root || path.startsWith(`${root}/`)) {
      return folder({ path: path.slice(root.length), query, request, signal });
    }
  }
  const page = pages.get(path);
  if (page === undefined) {
    return textAnswer(`no page ${path}; there are ${[...pages.keys(), ...folders.keys()].join(', ')}\n`, 404);
  }
  return page(query, signal);
}
