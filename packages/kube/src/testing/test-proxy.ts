import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ProxyAddress } from '../proxy-url.ts';
import { readTestPem } from './scripted-server.ts';

/** A proxy that a test runs, and what was asked of it. */
export interface TestProxy extends AsyncDisposable {
  readonly address: ProxyAddress;
  /** `host:port` of every tunnel, in order. */
  readonly targets: readonly string[];
  /** Clients that are connected. */
  readonly openCount: number;
}

/** Whom it lets through; everybody by default. */
export type ProxyCredentials = ProxyAddress['credentials'];

/** What it shows to clients that speak TLS with it. */
export interface ProxyTls {
  readonly cert: string;
  readonly key: string;
}

/** Starts a proxy of one of the kinds that kubeconfigs name. It finds every name in `.test` on this machine. */
export async function startTestProxy(
  kind: ProxyAddress['kind'],
  credentials?: ProxyCredentials,
  tls: ProxyTls = { cert: readTestPem('server.crt'), key: readTestPem('server.key') },
): Promise<TestProxy> {
  const targets: string[] = [];
  const sockets = new Set<Duplex>();
  const clients = new Set<Socket>();
  const tunnel = (client: Duplex, target: string, onOpen: () => void): void => {
    targets.push(target);
    const { hostname, port } = new URL(`http://${target}`);
    const host = hostname.endsWith('.test') ? '127.0.0.1' : hostname.replace(/^\[|\]$/g, '');
    const upstream = connect(Number(port), host, () => {
      onOpen();
      client.pipe(upstream).pipe(client);
    });
    for (const [end, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(end);
      end.on('error', () => other.destroy()).on('close', () => other.destroy());
    }
  };
  const server: Server =
    kind === 'socks5'
      ? createSocksServer(tunnel, credentials)
      : createConnectServer({ kind, tunnel, credentials, tls });
  server.on('connection', (socket: Socket) => {
    clients.add(socket);
    sockets.add(socket.on('error', () => socket.destroy()).on('close', () => clients.delete(socket)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: { kind, host: '127.0.0.1', port, ...(credentials === undefined ? {} : { credentials }) },
    targets,
    get openCount() {
      return clients.size;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type Tunnel = (client: Duplex, target: string, onOpen: () => void) => void;

interface ConnectServerOptions {
  readonly kind: 'http' | 'https';
  readonly tunnel: Tunnel;
  readonly credentials: ProxyCredentials;
  readonly tls: ProxyTls;
}

function createConnectServer({ kind, tunnel, credentials, tls }: ConnectServerOptions): Server {
  const server = kind === 'https' ? createHttpsServer(tls) : createHttpServer();
  const wanted =
    credentials === undefined
      ? undefined
      : `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`;
  server.on('connect', ({ url = '', headers }: IncomingMessage, client: Duplex) => {
    if (headers['proxy-authorization'] !== wanted) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n');
    } else tunnel(client, url, () => client.write('HTTP/1.1 200 OK\r\n\r\n'));
  });
  return server;
}

/** The address that answers of SOCKS have, of which nobody needs to know more. */
const PROXY_NAME = 'proxy.test';

/** Takes whole messages as they come: clients wait for each answer. */
function createSocksServer(tunnel: Tunnel, credentials: ProxyCredentials): Server {
  return createServer((client) => {
    const answer = (bytes: readonly number[], next: (message: Buffer) => void): void => {
      client.write(Buffer.from(bytes));
      client.once('data', next);
    };
    const connectTo = (message: Buffer): void => {
      const isName = message[3] === 3;
      const host = isName ? message.subarray(5, 5 + (message[4] ?? 0)).toString() : message.subarray(4, 8).join('.');
      const port = message.readUInt16BE(message.length - 2);
      tunnel(client, `${host.includes(':') ? `[${host}]` : host}:${port}`, () =>
        client.write(Buffer.from([5, 0, 0, 3, PROXY_NAME.length, ...Buffer.from(PROXY_NAME), 0, 80])),
      );
    };
    client.once('data', (greeting) => {
      const method = credentials === undefined ? 0 : 2;
      if (!greeting.subarray(2).includes(method)) return void client.end(Buffer.of(5, 0xff));
      if (credentials === undefined) return answer([5, method], connectTo);
      const [user, password] = [Buffer.from(credentials.user), Buffer.from(credentials.password)];
      const wanted = Buffer.concat([Buffer.of(1, user.length), user, Buffer.of(password.length), password]);
      answer([5, method], (message) => {
        if (message.equals(wanted)) answer([1, 0], connectTo);
        else client.end(Buffer.of(1, 1));
      });
    });
  });
}
