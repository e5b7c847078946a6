import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, MeltemiError, sleep, systemClock } from '@meltemi/base';
import { CONTROL_PLANE_ERROR_CODES } from '../errors.ts';
import type { ListenAddress } from './listen-address.ts';

/** Options of every server here: they keep a slow client from holding a connection for ever. */
export const HTTP_TIME_LIMITS = {
  headersTimeout: 10_000,
  requestTimeout: 20_000,
  // How often Node looks whether one of the two is over.
  connectionsCheckingInterval: 5_000,
};

/** What a handler answers. */
export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** An answer in JSON. */
export function jsonAnswer(value: unknown, status = 200): HttpAnswer {
  return { status, contentType: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` };
}

/** An answer in plain text. */
export function textAnswer(body: string, status = 200): HttpAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}

/** Sends an answer. */
export function sendAnswer(response: ServerResponse, { status, contentType, body }: HttpAnswer): void {
  if (response.destroyed || response.writableEnded) return;
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/**
 * Reads a request's body.
 *
 * @returns `undefined` when it is longer than allowed.
 */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * Listens.
 *
 * @returns The port, which matters where 0 was asked for.
 * @throws MeltemiError `LISTEN_FAILED`
 */
export async function listenHttp(server: Server, { host, port }: ListenAddress): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const hint = cause.code === 'EADDRINUSE' ? '; another process uses it' : '';
      reject(new MeltemiError(CONTROL_PLANE_ERROR_CODES.listen, `Cannot listen on ${host}:${port}${hint}`, { cause }));
    });
    server.listen({ host, port }, resolve);
  });
  // A server that listens on a port has this form of address.
  return (server.address() as AddressInfo).port;
}

/** How long a request in progress may take after the stop. */
const LAST_REQUESTS_MS = 1_000;

/** Stops listening, lets requests in progress end, and closes idle connections. */
export async function closeHttp(server: Server, clock: Clock = systemClock): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const ended = new AbortController();
  await Promise.race([closed, sleep(clock, LAST_REQUESTS_MS, ended.signal)]);
  ended.abort();
  server.closeAllConnections();
  await closed;
}
