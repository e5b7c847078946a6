import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Random } from '@meltemi/base';
import { dialMarked, markDatagramSocket } from '@meltemi/proxy/network';
import { type DnsQuestion, isResponseTo } from './dns-message.ts';

/** Where queries go that the mesh has no answer for. */
export interface DnsUpstreamOptions {
  /** `address` and port of each server. */
  readonly servers: readonly { readonly address: string; readonly port: number }[];
  /** For all servers together. */
  readonly timeoutMs: number;
  /** Asks all at once and takes the first answer, rather than one after the other. */
  readonly isParallel: boolean;
  /** Mark of the agent's sockets, where capture rules go by it. */
  readonly soMark: number | undefined;
  readonly random: Random;
}

/** How a query came, and so how it is passed on. */
export type DnsTransport = 'udp' | 'tcp';

/** Passes queries on. */
export interface DnsUpstream {
  /** @returns The answer as it came; `undefined` when no server gave one in time. */
  forward(query: Buffer, question: DnsQuestion, transport: DnsTransport): Promise<Buffer | undefined>;
}

type Server = DnsUpstreamOptions['servers'][number];

/** Creates a forwarder; each query has a socket, and so a source port, of its own. */
export function createDnsUpstream(options: DnsUpstreamOptions): DnsUpstream {
  const { servers, timeoutMs, isParallel, random } = options;
  return {
    async forward(query, question, transport) {
      const signal = AbortSignal.timeout(timeoutMs);
      const ask = (server: Server, attemptSignal: AbortSignal): Promise<Buffer> =>
        transport === 'udp'
          ? askUdp(options, { server, query, question, signal: attemptSignal })
          : askTcp(options, { server, query, question, signal: attemptSignal });
      const order = shuffle(servers, random);
      try {
        if (isParallel) return await Promise.any(order.map((server) => ask(server, signal)));
        // A silent server must leave time for the others.
        const shareMs = timeoutMs / Math.max(1, order.length);
        for (const server of order) {
          const answer = await ask(server, AbortSignal.any([signal, AbortSignal.timeout(shareMs)])).catch(ignore);
          if (answer !== undefined) return answer;
        }
        return undefined;
      } catch {
        return undefined;
      }
    },
  };
}

/** Any order of the servers, each as likely: load spreads. */
function shuffle<Item>(items: readonly Item[], random: Random): readonly Item[] {
  return items
    .map((item) => ({ item, key: random() }))
    .sort((left, right) => left.key - right.key)
    .map(({ item }) => item);
}

interface Attempt {
  readonly server: Server;
  readonly query: Buffer;
  readonly question: DnsQuestion;
  readonly signal: AbortSignal;
}

function askUdp({ soMark }: DnsUpstreamOptions, { server, query, question, signal }: Attempt): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
    const fail = (error: Error): void => finish(() => reject(error));
    const onAbort = (): void => fail(new Error('timed out'));
    const finish = (settle: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.removeAllListeners().on('error', ignore);
      socket.close();
      settle();
    };
    signal.addEventListener('abort', onAbort);
    socket.on('error', fail);
    // Connected, so that nobody but the server can answer, and a refusal is an error.
    socket.on('message', (message) => {
      if (isResponseTo(message, question)) finish(() => resolve(message));
    });
    socket.bind(0, () => {
      try {
        if (soMark !== undefined) markDatagramSocket(socket, soMark);
        socket.connect(server.port, server.address, () => socket.send(query));
      } catch (error) {
        fail(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
}

function askTcp({ soMark }: DnsUpstreamOptions, { server, query, question, signal }: Attempt): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = dialMarked({
      to: { kind: 'tcp', address: server.address, port: server.port },
      mark: soMark,
      bindAddress: undefined,
    });
    let received = Buffer.alloc(0);
    const finish = (settle: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.removeAllListeners().on('error', ignore);
      socket.destroy();
      settle();
    };
    const onAbort = (): void => finish(() => reject(new Error('timed out')));
    signal.addEventListener('abort', onAbort);
    socket.on('error', (error) => finish(() => reject(error)));
    socket.on('close', () => finish(() => reject(new Error('the server closed the connection'))));
    socket.on('connect', () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(query.length);
      socket.write(Buffer.concat([length, query]));
      socket.resume();
    });
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const message = received.subarray(2, 2 + received.readUInt16BE(0));
      if (isResponseTo(message, question)) finish(() => resolve(message));
      else finish(() => reject(new Error('the answer is to another question')));
    });
  });
}

function ignore(): undefined {}
