import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  isLoopbackPeer,
  type Log,
  MeltemiError,
  messageOf,
  parseRequestTarget,
  type RequestTarget,
} from '@meltemi/base';
import type { NameInfo } from '../dns/name-lookup.ts';
import { type ApplicationProbes, LIFECYCLE_PREFIX } from './application-probes.ts';
import type { MergedMetrics } from './merged-metrics.ts';
import type { Readiness } from './readiness.ts';

/** What the status server answers from, and what its commands do. */
export interface StatusServerOptions {
  /** Default: every address. */
  readonly host?: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly readiness: Readiness;
  readonly scrape: (scrape: { accept: string; query: string; timeoutMs?: number }) => Promise<MergedMetrics>;
  readonly probes: ApplicationProbes;
  /** Ends the sidecar at once. */
  readonly onQuit: () => void;
  /** Begins to drain, and does not end. */
  readonly onDrain: () => Promise<void>;
  /** The table of DNS names; absent when queries are not captured. */
  readonly nameTable?: (() => ReadonlyMap<string, NameInfo>) | undefined;
  readonly log: Log;
}

/** The agent's own HTTP server. */
export interface StatusServer extends AsyncDisposable {
  readonly port: number;
}

type Handler = (request: IncomingMessage, response: ServerResponse, target: RequestTarget) => Promise<void>;

const MAX_SCRAPE_TIMEOUT_MS = 30_000;

/** Starts the server for readiness, merged metrics, application probes and local control, on every address of the pod. */
export async function startStatusServer(options: StatusServerOptions): Promise<StatusServer> {
  const { log } = options;
  const routes = buildRoutes(options);
  const server = createServer(
    { requestTimeout: 20_000, headersTimeout: 10_000, connectionsCheckingInterval: 5_000 },
    (request, response) => {
      const target = parseRequestTarget(request.url);
      if (target === undefined) return send(response, 400, 'the request target cannot be read\n');
      const handle = routes.get(target.path) ?? (isProbe(target.path) ? probeHandler(options) : notFound);
      return void handle(request, response, target).catch((error: unknown) => {
        log.error('Status request failed', { path: target.path, error: messageOf(error) });
        if (!response.headersSent) send(response, 500, 'internal error\n');
      });
    },
  );
  const port = await listen(server, options.port, options.host);
  return {
    port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function buildRoutes(options: StatusServerOptions): ReadonlyMap<string, Handler> {
  const { nameTable } = options;
  return new Map<string, Handler>([
    ['/healthz/ready', readinessHandler(options)],
    ['/stats/prometheus', metricsHandler(options)],
    ['/metrics', metricsHandler(options)],
    ['/quitquitquit', localPost(async () => options.onQuit())],
    ['/drain', localPost(options.onDrain)],
    ...(nameTable === undefined ? [] : [['/debug/ndsz', nameTableHandler(nameTable)] as const]),
  ]);
}

function readinessHandler({ readiness, log }: StatusServerOptions): Handler {
  let lastReason: string | undefined;
  return async (_request, response) => {
    const ready = await readiness.check();
    const reason = ready.ok ? '' : ready.error;
    // Asked every second: only what changed is worth a line.
    if (reason !== lastReason) log.info(reason === '' ? 'The proxy is ready' : `The proxy is not ready: ${reason}`);
    lastReason = reason;
    send(response, ready.ok ? 200 : 503, reason === '' ? '' : `${reason}\n`);
  };
}

function metricsHandler({ scrape }: StatusServerOptions): Handler {
  return async (request, response, { search }) => {
    const seconds = Number(request.headers['x-prometheus-scrape-timeout-seconds']);
    const merged = await scrape({
      accept: request.headers.accept ?? '',
      query: search,
      ...(seconds > 0 ? { timeoutMs: Math.min(seconds * 1000, MAX_SCRAPE_TIMEOUT_MS) } : {}),
    });
    send(response, 200, merged.body, merged.contentType);
  };
}

/** A command that only processes of the same pod may give. */
function localPost(run: () => Promise<void>): Handler {
  return async (request, response) => {
    if (!isLoopbackPeer(request.socket.remoteAddress))
      return send(response, 403, 'only requests from localhost are allowed\n');
    if (request.method !== 'POST') return send(response, 405, 'only POST is allowed\n');
    await run();
    return send(response, 200, 'OK\n');
  };
}

function nameTableHandler(nameTable: () => ReadonlyMap<string, NameInfo>): Handler {
  return async (request, response) => {
    if (!isLoopbackPeer(request.socket.remoteAddress))
      return send(response, 403, 'only requests from localhost are allowed\n');
    const table = [...nameTable()].map(([host, { ips, registry, shortname, namespace }]) => [
      host,
      { ips, registry, shortname, namespace },
    ]);
    const body = JSON.stringify({ table: Object.fromEntries(table) }, undefined, 2);
    return send(response, 200, `${body}\n`, 'application/json');
  };
}

function isProbe(path: string): boolean {
  return path.startsWith('/app-health/') || path.startsWith(LIFECYCLE_PREFIX);
}

function probeHandler({ probes }: StatusServerOptions): Handler {
  return async (request, response, { path }) => {
    const caller = new AbortController();
    // Also after the answer, where there is nothing left to abort.
    response.once('close', () => caller.abort(new Error('the caller is gone')));
    const result = await probes.run(path, request.headers, caller.signal);
    send(response, result.statusCode, result.body);
  };
}

const notFound: Handler = async (_request, response) => send(response, 404, 'not found\n');

function send(
  response: ServerResponse,
  statusCode: number,
  body: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(statusCode, { 'content-type': contentType });
  response.end(body);
}

function listen(server: Server, port: number, host: string | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new MeltemiError('STATUS_PORT_TAKEN', `Cannot listen on status port ${port}: ${messageOf(cause)}`)),
    );
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}
