import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClusterAccess, ClusterCredentials } from '../cluster-access.ts';

/** What a script sees of a request. */
export interface ScriptedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** Subject of the client's certificate, if it showed one. */
  readonly clientName: string | undefined;
}

/** An API server whose every answer is written by the test. */
export interface ScriptedServer extends AsyncDisposable {
  readonly access: ClusterAccess;
  readonly requests: readonly ScriptedRequest[];
  readonly connectionCount: number;
  /** Cuts every connection, as a crash would. */
  dropConnections(): void;
}

export interface ScriptedServerOptions {
  readonly answer: (request: ScriptedRequest, response: ServerResponse) => void | Promise<void>;
  readonly upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  readonly credentials?: ClusterCredentials;
}

/** PEM files of `testdata/`: `server.crt` is its own authority, valid for localhost, 127.0.0.1 and kube.test. */
export function readTestPem(name: 'server.crt' | 'server.key' | 'client.crt' | 'client.key'): string {
  return readFileSync(new URL(`./testdata/${name}`, import.meta.url), 'utf8');
}

/** Writes a JSON answer. */
export function sendJson(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

/** Starts a scripted server on a free port. */
export async function startScriptedServer(options: ScriptedServerOptions): Promise<ScriptedServer> {
  const requests: ScriptedRequest[] = [];
  const sockets = new Set<Socket>();
  let connectionCount = 0;
  const server = createServer(
    { cert: readTestPem('server.crt'), key: readTestPem('server.key'), requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      void request.toArray().then(
        (chunks: Buffer[]) => {
          const url = new URL(request.url ?? '/', 'https://localhost');
          const subject = (
            request.socket as { getPeerCertificate?(): { subject?: { CN?: string } } }
          ).getPeerCertificate?.();
          const scripted = {
            method: request.method ?? '',
            path: url.pathname,
            query: url.searchParams,
            headers: request.headers,
            body: Buffer.concat(chunks).toString('utf8'),
            clientName: subject?.subject?.CN,
          };
          requests.push(scripted);
          return options.answer(scripted, response);
        },
        () => response.destroy(),
      );
    },
  );
  server.on('connection', (socket: Socket) => {
    connectionCount += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  if (options.upgrade !== undefined) server.on('upgrade', options.upgrade);
  const dropConnections = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    access: {
      name: 'scripted',
      server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
      certificateAuthorityPem: readTestPem('server.crt'),
      credentials: options.credentials ?? {},
    },
    requests,
    get connectionCount() {
      return connectionCount;
    },
    dropConnections,
    async [Symbol.asyncDispose]() {
      dropConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
