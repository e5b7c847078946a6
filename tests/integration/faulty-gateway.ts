import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { readTestPem } from '@meltemi/kube/testing';

/** What a gateway does to one request. */
export type Fault =
  | { readonly do: 'pass' }
  /** Answers in place of the server. */
  | { readonly do: 'answer'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Closes the connection before any answer. */
  | { readonly do: 'reset' }
  /** Passes so many bytes of the answer's body, and resets the connection, in the middle of a line or not. */
  | { readonly do: 'cut'; readonly afterBytes: number }
  /** Passes the answer's head and then nothing more, without closing. */
  | { readonly do: 'silence' }
  /** Holds the request for this long, then passes it. */
  | { readonly do: 'slow'; readonly delayMs: number }
  /** Accepts a watch and says that its version has expired. */
  | { readonly do: 'expire' };

/** A TLS endpoint before an API server that spoils some of what passes. */
export interface FaultyGateway extends AsyncDisposable {
  readonly url: string;
  /** Its own authority, in PEM. */
  readonly ca: string;
  readonly requestCount: number;
  /** How often each fault was dealt out. */
  readonly dealt: ReadonlyMap<Fault['do'], number>;
}

const EXPIRED = {
  type: 'ERROR',
  object: { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: 410, reason: 'Expired', message: 'too old' },
};

/** Starts a gateway before `target`; `choose` decides about each request. */
export async function startFaultyGateway(
  target: {
    readonly url: string;
    readonly ca: string;
    readonly certificatePem: string;
    readonly keyPem: string;
  },
  choose: (request: { readonly isWatch: boolean; readonly path: string }) => Fault,
): Promise<FaultyGateway> {
  const agent = new Agent({ ca: target.ca, cert: target.certificatePem, key: target.keyPem, keepAlive: true });
  const sockets = new Set<Socket>();
  const dealt = new Map<Fault['do'], number>();
  let requestCount = 0;

  const pass = (request: IncomingMessage, response: ServerResponse, fault: Fault): void => {
    const url = new URL(request.url ?? '/', target.url);
    const { host: _host, connection: _connection, ...headers } = request.headers;
    const upstream = httpsRequest(url, { method: request.method ?? 'GET', headers, agent }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      let left = fault.do === 'cut' ? fault.afterBytes : Number.POSITIVE_INFINITY;
      answer.on('data', (chunk: Buffer) => {
        if (fault.do === 'silence') return;
        if (chunk.length < left) {
          left -= chunk.length;
          response.write(chunk);
          return;
        }
        response.write(chunk.subarray(0, left), () => request.socket.destroy());
      });
      answer.on('end', () => {
        if (fault.do !== 'silence') response.end();
      });
      answer.on('error', () => request.socket.destroy());
    });
    upstream.on('error', () => request.socket.destroy());
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  };

  const server = createServer(
    { cert: readTestPem('server.crt'), key: readTestPem('server.key') },
    (request, response) => {
      requestCount += 1;
      const path = request.url ?? '/';
      const fault = choose({ isWatch: path.includes('watch=true'), path });
      dealt.set(fault.do, (dealt.get(fault.do) ?? 0) + 1);
      switch (fault.do) {
        case 'answer':
          return void response.writeHead(fault.status, fault.headers).end('spoiled\n');
        case 'reset':
          return void request.socket.destroy();
        case 'expire':
          response.writeHead(200, { 'content-type': 'application/json' });
          return void response.end(`${JSON.stringify(EXPIRED)}\n`);
        case 'slow':
          setTimeout(() => pass(request, response, fault), fault.delayMs);
          return;
        default:
          pass(request, response, fault);
      }
    },
  );
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ca: readTestPem('server.crt'),
    get requestCount() {
      return requestCount;
    },
    dealt,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      agent.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
