import { type Clock, type Log, messageOf, sleep } from '@meltemi/base';
import type { KubeClient } from '@meltemi/kube';

/** The API server starts at the same time as this process and is ready a moment later. */
const POLL_MS = 40;
const REPORT_AFTER_MS = 3_000;

/** Whom to wait for. */
export interface WaitForApiServerOptions {
  readonly client: Pick<KubeClient, 'request' | 'server'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** @returns What keeps the server from being ready, or `undefined` when it is. */
async function obstacle(client: WaitForApiServerOptions['client'], signal: AbortSignal): Promise<string | undefined> {
  try {
    const { status } = await client.request({ method: 'GET', path: '/readyz', signal });
    return status === 200 ? undefined : `HTTP ${status}`;
  } catch (error) {
    return messageOf(error);
  }
}

/** Resolves when the API server answers, or the signal aborts; a long wait is reported once. */
export async function waitForApiServer(
  { client, clock, log }: WaitForApiServerOptions,
  signal: AbortSignal,
): Promise<void> {
  const startedMs = clock.monotonicMs();
  let hasReported = false;
  while (!signal.aborted) {
    const problem = await obstacle(client, signal);
    if (problem === undefined) return;
    if (!hasReported && clock.monotonicMs() - startedMs > REPORT_AFTER_MS) {
      log.warn('Still waiting for the API server', { server: client.server, error: problem });
      hasReported = true;
    }
    await sleep(clock, POLL_MS, signal);
  }
}
