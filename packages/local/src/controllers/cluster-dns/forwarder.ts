import { createSocket, type Socket } from 'node:dgram';
import type { Clock } from '@meltemi/base';

/** Time that one upstream has for its answer. */
const ANSWER_TIMEOUT_MS = 1_500;

/** After no upstream answered, questions fail at once for this long: a closed sandbox must not make callers wait. */
const GIVE_UP_MS = 10_000;

/** Passes questions that are not the cluster's on to other servers. */
export interface Forwarder {
  /** @returns The answer's bytes, or `undefined` when no server could be reached. */
  forward(message: Buffer): Promise<Buffer | undefined>;
}

/** Whom the forwarder asks. */
export interface ForwarderOptions {
  /** IPv4 addresses, asked in this order. */
  readonly upstreams: readonly string[];
  readonly clock: Clock;
  /** Default 53. */
  readonly port?: number;
}

function ask(upstream: string, port: number, message: Buffer, clock: Clock): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket: Socket = createSocket('udp4');
    const finish = (answer: Buffer | undefined): void => {
      timer.cancel();
      socket.removeAllListeners();
      // An error may still be on its way; without a listener it would end the process.
      socket.on('error', () => {});
      socket.close();
      resolve(answer);
    };
    const timer = clock.setTimer(() => finish(undefined), ANSWER_TIMEOUT_MS);
    socket.on('error', () => finish(undefined));
    socket.on('message', (answer: Buffer) => {
      if (answer.length >= 2 && answer.readUInt16BE(0) === message.readUInt16BE(0)) finish(answer);
    });
    // Connected, so that only this server may answer, and that "port unreachable" is told instead of waited for.
    socket.connect(port, upstream, () => socket.send(message));
  });
}

/** Creates the forwarder; without upstreams it never has an answer. */
export function createForwarder({ upstreams, clock, port = 53 }: ForwarderOptions): Forwarder {
  let closedUntilMs = Number.NEGATIVE_INFINITY;
  return {
    async forward(message) {
      if (clock.monotonicMs() < closedUntilMs) return undefined;
      for (const upstream of upstreams) {
        const answer = await ask(upstream, port, message, clock);
        if (answer !== undefined) return answer;
      }
      closedUntilMs = clock.monotonicMs() + GIVE_UP_MS;
      return undefined;
    },
  };
}

/** The IPv4 name servers of a resolv.conf, but for our own address, which would ask us again. */
export function parseNameServers(resolvConf: string, ownAddress: string): readonly string[] {
  return resolvConf
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\d{1,3}(?:\.\d{1,3}){3})\s*$/.exec(line)?.[1])
    .filter((address): address is string => address !== undefined && address !== ownAddress);
}
