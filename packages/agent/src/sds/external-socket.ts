import { rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { basename } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { type Clock, MeltemiError } from '@meltemi/base';

/** How long somebody else's secret discovery may take to answer. */
const DIAL_MS = 1000;

/** What {@link isServedElsewhere} asks about. */
export interface ExternalSocketOptions {
  readonly path: string;
  /** The socket's name was chosen, so that somebody has to serve it. */
  readonly isNamed: boolean;
  readonly clock: Clock;
}

/**
 * Finds out whether somebody else (SPIRE) serves the workload's certificate on the socket that proxies ask. A socket that
 * nobody answers on is left from an earlier process, and removed; one that was named is not ours to remove, other pods may
 * share it.
 *
 * @throws MeltemiError `SDS_SOCKET_DEAD`
 */
export async function isServedElsewhere({ path, isNamed, clock }: ExternalSocketOptions): Promise<boolean> {
  const isAnswered = (await isListenedOn(path)) && (await answers(path, clock.nowMs() + DIAL_MS));
  if (isAnswered) return true;
  if (!isNamed) {
    await rm(path, { force: true });
    return false;
  }
  const message = `Cannot reach secret discovery at ${path}: nobody answers; is the volume of the SPIFFE agent mounted, and WORKLOAD_IDENTITY_SOCKET_FILE=${basename(path)} its socket?`;
  throw new MeltemiError('SDS_SOCKET_DEAD', message);
}

/** Says at once what gRPC would try to find out for a second: after a restart of its container the agent has to start fast. */
function isListenedOn(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const finish = (isListening: boolean): void => {
      socket.destroy();
      resolve(isListening);
    };
    socket.on('connect', () => finish(true)).on('error', () => finish(false));
  });
}

async function answers(path: string, deadlineMs: number): Promise<boolean> {
  const client = new Client(`unix:${path}`, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  try {
    return await new Promise((resolve) => client.waitForReady(deadlineMs, (error) => resolve(error === undefined)));
  } finally {
    client.close();
  }
}
