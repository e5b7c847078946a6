import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, messageOf, sleep, systemClock } from '@meltemi/base';
import { dialMarked, originalDestination } from '@meltemi/proxy/network';
import type { CaptureOptions } from './capture-options.ts';
import type { IpFamily } from './rule-model.ts';

/** What is checked, and for how long. */
export interface ValidationInput {
  readonly options: CaptureOptions;
  /** Dialled on the address that only the sidecar uses; nothing listens there. */
  readonly probePort: number;
  readonly timeoutMs: number;
  readonly clock?: Clock;
}

const DIAL_INTERVAL_MS = 1000;
const LOOPBACK: Readonly<Record<IpFamily, string>> = { v4: '127.0.0.1', v6: '::1' };
const PROBED: Readonly<Record<IpFamily, string>> = { v4: '127.0.0.6', v6: '::6' };

/**
 * Finds out with real connections whether the rules work: what is dialled as the sidecar dials its own pod has to arrive at
 * the sidecar's port, with the port that was dialled as its original destination. Runs before the sidecar, on its ports.
 *
 * @returns What is wrong; `undefined` when traffic is captured.
 */
export async function validateCapture(input: ValidationInput): Promise<string | undefined> {
  for (const family of input.options.families) {
    const failure = await validateFamily(input, family);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

async function validateFamily(input: ValidationInput, family: IpFamily): Promise<string | undefined> {
  const { options, probePort, timeoutMs, clock = systemClock } = input;
  const arrived = Promise.withResolvers<void>();
  const onConnection = (socket: Socket): void => {
    if (originalDestination(socket)?.port === probePort) arrived.resolve();
    socket.destroy();
  };
  const servers: Server[] = [];
  const deadline = new AbortController();
  const isCaptured = arrived.promise.then(() => true);
  try {
    for (const port of [options.outboundPort, options.inboundPort])
      servers.push(await listen(port, LOOPBACK[family], onConnection));
    for (let passedMs = 0; passedMs < timeoutMs; passedMs += DIAL_INTERVAL_MS) {
      dial(options, family, probePort);
      const waitMs = Math.min(DIAL_INTERVAL_MS, timeoutMs - passedMs);
      if (await Promise.race([isCaptured, sleep(clock, waitMs, deadline.signal).then(() => false)])) return undefined;
    }
    return `no connection to ${PROBED[family]}:${probePort} arrived at port ${options.inboundPort} within ${timeoutMs / 1000} s${hint(options)}`;
  } catch (error) {
    return messageOf(error);
  } finally {
    deadline.abort();
    for (const server of servers) server.close();
  }
}

async function listen(port: number, host: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer(onConnection).listen(port, host);
  await once(server, 'listening');
  return server;
}

/** Refusals say nothing: the probe is dialled until it arrives or the time is up. */
function dial({ owner }: CaptureOptions, family: IpFamily, port: number): void {
  const socket = dialMarked({
    to: { kind: 'tcp', address: PROBED[family], port },
    mark: owner.kind === 'mark' ? owner.mark : undefined,
    // Left to itself the system may choose the dialled address as the source, and what comes from that is never captured.
    bindAddress: LOOPBACK[family],
  });
  socket.on('error', () => {});
  socket.on('connect', () => socket.destroy());
}

function hint({ owner }: CaptureOptions): string {
  const uid = process.getuid?.() ?? 0;
  if (owner.kind === 'mark' || owner.uids.includes(uid)) return '';
  return `; this ran as user ${uid}, and only connections of user ${owner.uids.join(' or ')} count`;
}
