import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { type Log, MeltemiError, messageOf, type Random } from '@meltemi/base';
import { markDatagramSocket } from '@meltemi/proxy/network';
import {
  buildNotImplemented,
  buildResponse,
  CLASS_IN,
  completeResponse,
  type DnsAnswer,
  type DnsQuestion,
  parseQuestion,
  RECORD_TYPE,
  RESPONSE_CODE,
  truncateResponse,
} from './dns-message.ts';
import type { DnsTransport, DnsUpstream } from './dns-upstream.ts';
import type { KnownName, NameLookup } from './name-lookup.ts';

/** What {@link startDnsServer} works with. */
export interface DnsServerOptions {
  /** Addresses to listen on, UDP and TCP. */
  readonly addresses: readonly string[];
  /** 0 lets the system choose, the same for all. */
  readonly port: number;
  /** The names of the mesh; `undefined` before the control plane has sent them. */
  readonly names: () => NameLookup | undefined;
  /** Whether a name is passed on even before the names of the mesh are known. */
  readonly isAlwaysForwarded: (name: string) => boolean;
  readonly upstream: DnsUpstream;
  /** Mark of the agent's sockets, where capture rules go by it. */
  readonly soMark: number | undefined;
  readonly random: Random;
  readonly log: Log;
}

/** Counts since the start. */
export interface DnsCounters {
  readonly requests: number;
  readonly upstreamRequests: number;
  readonly failures: number;
}

/** The agent's DNS server. */
export interface DnsServer extends AsyncDisposable {
  readonly port: number;
  counters(): DnsCounters;
}

/** Short, so that clients that keep answers see changes soon. */
const TTL_SECONDS = 30;
const MAX_TCP_BYTES = 65_535;
/** Queries that wait for a server elsewhere. More are refused: a flood must not take all descriptors. */
const MAX_PENDING = 1000;
const MAX_TCP_CONNECTIONS = 256;
const TCP_IDLE_MS = 10_000;

/**
 * Starts the server that captured DNS queries meet. Names of the mesh are answered from the control plane's table, all other
 * questions are passed on as they are.
 *
 * @throws MeltemiError `DNS_PORT_TAKEN`
 */
export async function startDnsServer(options: DnsServerOptions): Promise<DnsServer> {
  const counters = { requests: 0, upstreamRequests: 0, failures: 0 };
  let pending = 0;
  const answer = async (query: Buffer, transport: DnsTransport): Promise<Buffer | undefined> => {
    const question = parseQuestion(query);
    if (question === undefined) return buildNotImplemented(query);
    counters.requests += 1;
    const maxBytes = transport === 'udp' ? question.maxUdpBytes : MAX_TCP_BYTES;
    const own = answerByTable(question, options);
    if (own !== undefined) {
      if (own.responseCode !== RESPONSE_CODE.ok) counters.failures += 1;
      return buildResponse(query, question, own, maxBytes);
    }
    counters.upstreamRequests += 1;
    pending += 1;
    const response = pending > MAX_PENDING ? undefined : await options.upstream.forward(query, question, transport);
    pending -= 1;
    if (response === undefined) {
      counters.failures += 1;
      return buildResponse(query, question, SERVER_FAILURE, maxBytes);
    }
    const complete = completeResponse(response, query, question);
    return complete.length > maxBytes ? truncateResponse(complete, question) : complete;
  };
  const sockets = new Set<Socket>();
  const datagrams: DatagramSocket[] = [];
  const servers: Server[] = [];
  let { port } = options;
  try {
    for (const address of options.addresses) {
      const server = await listenTcp(address, port, { answer, sockets, log: options.log });
      servers.push(server);
      const bound = server.address();
      port = typeof bound === 'object' && bound !== null ? bound.port : port;
      datagrams.push(await listenUdp(address, port, { answer, soMark: options.soMark, log: options.log }));
    }
  } catch (cause) {
    await close(servers, datagrams, sockets);
    throw new MeltemiError('DNS_PORT_TAKEN', `Cannot listen for DNS queries on port ${port}: ${messageOf(cause)}`, {
      cause,
    });
  }
  return {
    port,
    counters: () => ({ ...counters }),
    [Symbol.asyncDispose]: () => close(servers, datagrams, sockets),
  };
}

const SERVER_FAILURE: DnsAnswer = { responseCode: RESPONSE_CODE.serverFailure, addresses: [], ttlSeconds: 0 };

/** @returns `undefined` for questions that are to be passed on. */
function answerByTable(question: DnsQuestion, options: DnsServerOptions): DnsAnswer | undefined {
  const names = options.names();
  if (names === undefined) return options.isAlwaysForwarded(question.name) ? undefined : SERVER_FAILURE;
  if (question.class !== CLASS_IN) return undefined;
  if (question.type !== RECORD_TYPE.a && question.type !== RECORD_TYPE.aaaa) return undefined;
  const known = names.find(question.name);
  return known === undefined ? undefined : toAnswer(known, question.type, options.random);
}

/** A known name without addresses of a family is not unknown: clients would give up on the other family, too. */
function toAnswer({ cname, ipv4, ipv6 }: KnownName, type: number, random: Random): DnsAnswer {
  const addresses = type === RECORD_TYPE.a ? ipv4 : ipv6;
  return {
    responseCode: RESPONSE_CODE.ok,
    cname: addresses.length === 0 ? undefined : cname,
    addresses: rotate(addresses, random),
    ttlSeconds: TTL_SECONDS,
  };
}

/** Clients take the first address: another one each time spreads them over the pods of a headless service. */
function rotate(addresses: readonly string[], random: Random): readonly string[] {
  if (addresses.length < 2) return addresses;
  return addresses
    .map((address) => ({ address, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ address }) => address);
}

interface Listening {
  readonly answer: (query: Buffer, transport: DnsTransport) => Promise<Buffer | undefined>;
  readonly log: Log;
}

async function listenUdp(
  address: string,
  port: number,
  { answer, soMark, log }: Listening & { readonly soMark: number | undefined },
): Promise<DatagramSocket> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  socket.on('message', (query, peer) => {
    answer(query, 'udp')
      .then((response) => response !== undefined && socket.send(response, peer.port, peer.address, () => {}))
      .catch((error: unknown) => log.error('A DNS query failed', { error: messageOf(error) }));
  });
  socket.bind(port, address);
  await once(socket, 'listening');
  socket.on('error', (error) => log.warn('The DNS socket failed', { error: messageOf(error) }));
  // Rules tell the agent's answers from the application's queries.
  if (soMark !== undefined) markDatagramSocket(socket, soMark);
  return socket;
}

async function listenTcp(
  address: string,
  port: number,
  { answer, sockets, log }: Listening & { readonly sockets: Set<Socket> },
): Promise<Server> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    serveTcp(socket, answer, log);
  });
  server.maxConnections = MAX_TCP_CONNECTIONS;
  server.listen(port, address);
  await once(server, 'listening');
  return server;
}

/** Messages have their length before them; one is answered before the next one is read. */
function serveTcp(socket: Socket, answer: Listening['answer'], log: Log): void {
  let received = Buffer.alloc(0);
  let isBusy = false;
  const serve = async (): Promise<void> => {
    if (isBusy) return;
    isBusy = true;
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const length = received.readUInt16BE(0);
      const query = received.subarray(2, 2 + length);
      received = received.subarray(2 + length);
      socket.pause();
      const response = await answer(query, 'tcp');
      if (response === undefined) return void socket.destroy();
      const head = Buffer.alloc(2);
      head.writeUInt16BE(response.length);
      socket.write(Buffer.concat([head, response]));
    }
    isBusy = false;
    socket.resume();
  };
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    serve().catch((error: unknown) => {
      log.error('A DNS query failed', { error: messageOf(error) });
      socket.destroy();
    });
  });
}

async function close(
  servers: readonly Server[],
  datagrams: readonly DatagramSocket[],
  sockets: ReadonlySet<Socket>,
): Promise<void> {
  for (const socket of sockets) socket.destroy();
  await Promise.all([
    ...servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    ...datagrams.map((socket) => new Promise<void>((resolve) => socket.close(resolve))),
  ]);
}
