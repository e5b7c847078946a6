import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type Log, messageOf } from '@meltemi/base';
import { type DnsQuery, type DnsResponse, decodeQuery, encodeResponse, RCODE, RECORD_TYPE } from './dns-message.ts';
import type { Forwarder } from './forwarder.ts';
import { answerFromZone, isInZone, type ZoneView } from './zone.ts';

/** An idle TCP client is let go after this long. */
const TCP_IDLE_MS = 10_000;
const MAX_TCP_BYTES = 65_535;
/** Queries are short, and come in one piece or two; who sends otherwise is let go. */
const MAX_TCP_QUERY_BYTES = 4096;
const MAX_PIECES = 8;

/** A CNAME is followed inside the zone this far; more is a loop. */
const MAX_ALIASES = 8;

/** What the name server answers from, and where it listens. */
export interface DnsServerOptions {
  readonly view: ZoneView;
  readonly forwarder: Forwarder;
  readonly log: Log;
  readonly address: string;
  /** 0: any free port. */
  readonly port: number;
}

/** The cluster's name server, over UDP and TCP. */
export interface DnsServer extends AsyncDisposable {
  /** Resolves when both sockets are bound. @throws when the address cannot be bound. */
  start(): Promise<void>;
  /** The port in use, once started. */
  readonly port: number;
}

function failure(rcode: number): DnsResponse {
  return { rcode, answers: [], authority: [] };
}

/** Answers from the zone, with what an alias in it leads to as long as that is in the zone as well. */
function resolveInZone(view: ZoneView, query: DnsQuery): DnsResponse {
  const first = answerFromZone(view, query.name, query.type);
  const answers = [...first.answers];
  for (let hop = 0; hop < MAX_ALIASES; hop += 1) {
    const last = answers.at(-1);
    if (last?.type !== 'CNAME' || query.type === RECORD_TYPE.CNAME || !isInZone(view, last.target)) break;
    answers.push(...answerFromZone(view, last.target, query.type).answers);
    if (answers.at(-1) === last) break;
  }
  return { ...first, answers };
}

/** Cuts a TCP stream into messages, each behind its length. */
function readMessages(socket: Socket, onMessage: (message: Buffer) => void): void {
  let pending: Buffer = Buffer.alloc(0);
  let pieces = 0;
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    pieces += 1;
    while (pending.length >= 2) {
      const length = pending.readUInt16BE(0);
      const end = 2 + length;
      if (length > MAX_TCP_QUERY_BYTES) return void socket.destroy();
      if (pending.length < end) break;
      pieces = 0;
      onMessage(pending.subarray(2, end));
      pending = pending.subarray(end);
    }
    if (pieces >= MAX_PIECES) socket.destroy();
  });
}

class ClusterDnsServer implements DnsServer {
  readonly #options: DnsServerOptions;
  readonly #udp: UdpSocket = createSocket('udp4');
  readonly #tcp: Server;
  readonly #clients = new Set<Socket>();

  constructor(options: DnsServerOptions) {
    this.#options = options;
    this.#tcp = createServer((socket) => this.#serve(socket));
  }

  get port(): number {
    return (this.#tcp.address() as AddressInfo).port;
  }

  async start(): Promise<void> {
    const { address, port, log } = this.#options;
    // TCP first: with port 0 it chooses, and UDP takes the same number.
    await new Promise<void>((resolve, reject) => {
      this.#tcp.once('error', reject);
      this.#tcp.listen(port, address, resolve);
    });
    await new Promise<void>((resolve, reject) => {
      this.#udp.once('error', reject);
      this.#udp.bind(this.port, address, resolve);
    });
    const report = (error: Error): void => log.warn('DNS socket failed', { error: messageOf(error) });
    this.#tcp.on('error', report);
    this.#udp.on('error', report);
    this.#udp.on('message', (message, from) => {
      void this.#answer(message, 'udp').then((answer) => {
        // A client that has gone meanwhile is its own loss.
        if (answer !== undefined) this.#udp.send(answer, from.port, from.address, () => {});
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
    await new Promise<void>((resolve) => this.#udp.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    this.#clients.add(socket);
    socket.on('close', () => this.#clients.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    readMessages(socket, (message) => {
      void this.#answer(message, 'tcp').then((answer) => {
        if (answer === undefined || socket.destroyed) return;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length, 0);
        socket.write(Buffer.concat([length, answer]));
      });
    });
  }

  /** @returns `undefined` for what is no query: answering would let forged packets bounce between servers. */
  async #answer(message: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    const { view, forwarder } = this.#options;
    const query = decodeQuery(message);
    if (query === undefined) return undefined;
    const maxBytes = transport === 'udp' ? query.maxUdpBytes : MAX_TCP_BYTES;
    if (query.opcode !== 0) return encodeResponse(query, failure(RCODE.notImplemented), maxBytes);
    if (isInZone(view, query.name)) return encodeResponse(query, resolveInZone(view, query), maxBytes);
    const forwarded = await forwarder.forward(message);
    return forwarded ?? encodeResponse(query, failure(RCODE.serverFailure), maxBytes);
  }
}

/** Creates the server; it binds when started. */
export function createDnsServer(options: DnsServerOptions): DnsServer {
  return new ClusterDnsServer(options);
}
