import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { TLSSocket } from 'node:tls';
import { createTaskOwner, type Log, messageOf } from '@meltemi/base';
import { WebSocketServer } from 'ws';
import { enterContainer, execEnv } from './container-exec.ts';
import { containerLogPath } from './container-starter.ts';
import { EXEC_PROTOCOL, endWithStatus, runExecSession, toFailureStatus, toTerminalCommand } from './exec-session.ts';
import type { Kubelet } from './kubelet.ts';
import type { KubeletContext } from './kubelet-context.ts';
import { readLog } from './log-reader.ts';
import type { ContainerRecord } from './pod-records.ts';
import type { PodWorker } from './pod-worker.ts';

/** Callers that say nothing, or half of something, must not hold a connection for long. */
const TIME_LIMITS = { handshakeTimeout: 10_000, headersTimeout: 10_000, connectionsCheckingInterval: 5_000 };

/** The kubelet's HTTPS server: logs and exec, for the API server only. */
export interface KubeletServer extends AsyncDisposable {
  start(): Promise<void>;
}

/** Options of {@link createKubeletServer}. */
export interface KubeletServerOptions {
  readonly kubelet: Kubelet;
  readonly context: KubeletContext;
  readonly host: string;
  readonly port: number;
  readonly keyPem: string;
  readonly certificatePem: string;
  /** Who signs clients' certificates. */
  readonly certificateAuthorityPem: string;
  readonly log: Log;
}

/** The API server's certificate is of this group. */
const CLIENT_ORGANIZATION = 'system:masters';

interface Target {
  readonly worker: PodWorker;
  readonly container: ContainerRecord;
}

function isApiServer(request: IncomingMessage): boolean {
  const { O } = (request.socket as TLSSocket).getPeerCertificate().subject ?? {};
  const organizations: readonly unknown[] = Array.isArray(O) ? O : [O];
  return organizations.includes(CLIENT_ORGANIZATION);
}

interface RequestTarget {
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

/** @returns `undefined` for a target that is no URL, or whose escapes are broken. */
function readTarget({ url = '/' }: IncomingMessage): RequestTarget | undefined {
  const parsed = URL.parse(url, 'https://kubelet');
  if (parsed === null) return undefined;
  try {
    return { path: parsed.pathname.split('/').slice(1).map(decodeURIComponent), query: parsed.searchParams };
  } catch {
    // A broken escape.
    return undefined;
  }
}

function numberOf(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  return value === null || value === '' || !Number.isFinite(Number(value)) ? undefined : Number(value);
}

/** Creates the server; `start` listens. */
export function createKubeletServer(options: KubeletServerOptions): KubeletServer {
  const { kubelet, context, host, port, log } = options;
  const { clock, directories, sandbox, systemPath } = context;
  const tasks = createTaskOwner((name, error) => log.debug(`Cannot serve ${name}`, { error: messageOf(error) }));
  const webSockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (protocols) => (protocols.has(EXEC_PROTOCOL) ? EXEC_PROTOCOL : false),
  });

  /** `/containerLogs|exec/<namespace>/<pod>/<container>`; a missing pod or container is told in words. */
  const findTarget = (path: readonly string[]): Target | string => {
    const [, namespace = '', name = '', containerName = ''] = path;
    const worker = kubelet.find(namespace, name);
    if (worker === undefined) return `pod "${namespace}/${name}" is not on this node`;
    const container = worker.record.containers.find((record) => record.name === containerName);
    return container === undefined ? `container "${containerName}" is not in pod "${name}"` : { worker, container };
  };

  const serveLogs = async (target: Target, query: URLSearchParams, response: ServerResponse): Promise<void> => {
    const { worker, container } = target;
    const previous = query.get('previous') === 'true';
    const start = container.startCount - (previous ? 2 : 1);
    if (start < 0) {
      const problem = previous
        ? `previous terminated container "${container.name}" in pod "${worker.record.name}" not found`
        : `container "${container.name}" in pod "${worker.record.name}" is waiting to start`;
      response.writeHead(400).end(problem);
      return;
    }
    const seconds = numberOf(query, 'sinceSeconds');
    const sinceTime = query.get('sinceTime');
    const key = container.run?.key;
    const abort = new AbortController();
    response.on('close', () => abort.abort());
    const lines = readLog({
      path: containerLogPath(directories.podsDirectory, worker.record.uid, container.name, start),
      follow: query.get('follow') === 'true',
      timestamps: query.get('timestamps') === 'true',
      tailLines: numberOf(query, 'tailLines'),
      sinceMs:
        seconds === undefined
          ? sinceTime === null
            ? undefined
            : Date.parse(sinceTime)
          : clock.nowMs() - seconds * 1000,
      isRunning: () => !previous && key !== undefined && container.run?.key === key,
      onEnd: (callback) => worker.onContainerEnd(callback),
      signal: abort.signal,
    });
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
    response.flushHeaders();
    await pipeline(Readable.from(lines), response);
  };

  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const asked = readTarget(request);
    if (asked === undefined) return void response.writeHead(400).end('the request target cannot be read');
    const { path, query } = asked;
    if (path[0] === 'healthz') return void response.end('ok');
    if (!isApiServer(request)) return void response.writeHead(403).end('forbidden: for the API server only');
    if (path[0] !== 'containerLogs') return void response.writeHead(404).end('not found');
    const target = findTarget(path);
    if (typeof target === 'string') return void response.writeHead(404).end(target);
    tasks.run('logs', serveLogs(target, query, response));
  };

  const refuseUpgrade = (socket: Duplex, status: string, message: string): void => {
    const length = Buffer.byteLength(message);
    socket.end(
      `HTTP/1.1 ${status}\r\ncontent-type: text/plain\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n${message}`,
    );
  };

  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const asked = readTarget(request);
    if (asked === undefined) return refuseUpgrade(socket, '400 Bad Request', 'the request target cannot be read');
    const { path, query } = asked;
    if (!isApiServer(request)) return refuseUpgrade(socket, '403 Forbidden', 'forbidden: for the API server only');
    if (path[0] !== 'exec') return refuseUpgrade(socket, '404 Not Found', 'not found');
    const target = findTarget(path);
    if (typeof target === 'string') return refuseUpgrade(socket, '404 Not Found', target);
    // The names of the public API, and those that kube-apiserver has for its kubelets.
    const flag = (name: string, alias: string): boolean =>
      ['1', 'true'].includes(query.get(name) ?? query.get(alias) ?? '');
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const { run } = target.container;
      const tty = flag('tty', 'tty');
      const command = query.getAll('command');
      const argv = run && enterContainer(sandbox, run, tty ? toTerminalCommand(command) : command);
      if (run === undefined || argv === undefined || command.length === 0) {
        const problem =
          command.length === 0 ? 'no command given' : `container "${target.container.name}" is not running`;
        endWithStatus(webSocket, toFailureStatus(problem));
        return;
      }
      const env = { ...execEnv(run, systemPath), ...(tty ? { TERM: 'xterm' } : {}) };
      runExecSession({
        socket: webSocket,
        argv,
        env,
        tty,
        stdin: flag('stdin', 'input'),
        stdout: flag('stdout', 'output'),
        stderr: flag('stderr', 'error') && !tty,
      });
    });
  };

  let server: Server | undefined;
  return {
    start() {
      const created = createServer(
        {
          key: options.keyPem,
          cert: options.certificatePem,
          ca: options.certificateAuthorityPem,
          requestCert: true,
          rejectUnauthorized: true,
          ...TIME_LIMITS,
        },
        onRequest,
      );
      server = created.on('upgrade', onUpgrade);
      return new Promise((resolve, reject) => {
        created.once('error', reject);
        created.listen(port, host, () => resolve());
      });
    },
    async [Symbol.asyncDispose]() {
      for (const client of webSockets.clients) client.terminate();
      server?.closeAllConnections();
      await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
    },
  };
}
