import { once } from 'node:events';
import { connect, isIPv4, type Socket } from 'node:net';
import type { TunnelOptions, TunnelTarget } from './proxy-tunnel.ts';
import type { ProxyAddress } from './proxy-url.ts';

// RFC 1928 and RFC 1929.
const SOCKS_VERSION = 5;
const METHOD = { none: 0, password: 2, refused: 0xff } as const;
const PASSWORD_VERSION = 1;
const CONNECT = 1;
const ADDRESS = { ipv4: 1, name: 3, ipv6: 4 } as const;
const PORT_LENGTH = 2;
const MAX_NAME_LENGTH = 255;
/** The longest answer has an address by name. */
const MAX_ANSWER_LENGTH = 4 + 1 + MAX_NAME_LENGTH + PORT_LENGTH;
const REPLIES: Readonly<Record<number, string>> = {
  1: 'that it failed',
  2: 'that its rules do not allow the connection',
  3: 'that the network cannot be reached',
  4: 'that the host cannot be reached',
  5: 'that the connection was refused',
  6: 'that the time to live is over',
  7: 'that it knows no such command',
  8: 'that it knows no such address',
};

/** Opens a connection through a proxy that speaks SOCKS 5. */
export async function openSocksTunnel({ proxy, target, signal }: TunnelOptions): Promise<Socket> {
  const socket = connect({ host: proxy.host, port: proxy.port });
  const answers = new ProxyAnswers(socket, signal);
  try {
    await once(socket, 'connect', { signal });
    await greet(socket, answers, proxy);
    socket.write(Buffer.concat([Buffer.of(SOCKS_VERSION, CONNECT, 0), encodeTarget(target)]));
    await readReply(answers);
    answers.end();
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** What a proxy says, for whoever takes it in pieces of a known length. */
class ProxyAnswers {
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  #received: Buffer = Buffer.alloc(0);
  #failure: unknown;
  #wake: () => void = () => {};

  constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    this.#signal = signal;
    socket.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onError);
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** @throws Error when the connection ends before. */
  async take(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      if (this.#failure !== undefined) throw this.#failure;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    const taken = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return taken;
  }

  /** Leaves the connection to who uses it from now on. @throws Error when the proxy has said more than it had to. */
  end(): void {
    this.#socket.pause().off('data', this.#onData).off('end', this.#onEnd);
    this.#signal.removeEventListener('abort', this.#onAbort);
    if (this.#received.length > 0) throw new Error('the proxy speaks before it is asked');
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (this.#received.length > MAX_ANSWER_LENGTH) this.#fail(new Error('the proxy says more than it is asked'));
    this.#wake();
  };
  readonly #onEnd = (): void => this.#fail(new Error('the proxy closed the connection'));
  readonly #onError = (error: Error): void => this.#fail(error);
  readonly #onAbort = (): void => this.#fail(this.#signal.reason);

  #fail(failure: unknown): void {
    this.#failure ??= failure;
    this.#socket.pause();
    this.#wake();
  }
}

async function greet(socket: Socket, answers: ProxyAnswers, { credentials }: ProxyAddress): Promise<void> {
  socket.write(Buffer.of(SOCKS_VERSION, 1, credentials === undefined ? METHOD.none : METHOD.password));
  const [version, method] = await answers.take(2);
  if (version !== SOCKS_VERSION) throw new Error('the proxy does not speak SOCKS 5');
  if (method === METHOD.refused) {
    throw new Error(credentials === undefined ? 'the proxy asks for a user' : 'the proxy takes no user and password');
  }
  if (method === METHOD.none) return;
  if (method !== METHOD.password || credentials === undefined) {
    throw new Error('the proxy chose what it was not offered');
  }
  const user = Buffer.from(credentials.user);
  const password = Buffer.from(credentials.password);
  socket.write(Buffer.concat([Buffer.of(PASSWORD_VERSION, user.length), user, Buffer.of(password.length), password]));
  const [, status] = await answers.take(2);
  if (status !== 0) throw new Error('the proxy refuses the user');
}

/** Names are looked up by the proxy. An IPv6 address goes as a name, which proxies read as well. */
function encodeTarget({ host, port }: TunnelTarget): Buffer {
  const name = Buffer.from(host);
  if (name.length > MAX_NAME_LENGTH) throw new Error(`the name of the server has more than ${MAX_NAME_LENGTH} bytes`);
  const address = isIPv4(host)
    ? Buffer.of(ADDRESS.ipv4, ...host.split('.').map(Number))
    : Buffer.concat([Buffer.of(ADDRESS.name, name.length), name]);
  return Buffer.concat([address, Buffer.of(port >> 8, port & 0xff)]);
}

async function readReply(answers: ProxyAnswers): Promise<void> {
  const [, reply = 0, , type] = await answers.take(4);
  if (reply !== 0) throw new Error(`the proxy says ${REPLIES[reply] ?? `the unknown reply ${reply}`}`);
  await answers.take((await addressLength(answers, type)) + PORT_LENGTH);
}

async function addressLength(answers: ProxyAnswers, type: number | undefined): Promise<number> {
  if (type === ADDRESS.ipv4) return 4;
  if (type === ADDRESS.ipv6) return 16;
  if (type !== ADDRESS.name) throw new Error(`the proxy gives an address of the unknown type ${type}`);
  const [length = 0] = await answers.take(1);
  return length;
}
