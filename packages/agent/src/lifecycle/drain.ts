import { type Clock, type Log, messageOf, sleep } from '@meltemi/base';
import { type LocalRequest, type LocalResponse, requestLocal } from '../status/local-http.ts';

/** What {@link createDrain} works with. */
export interface DrainOptions {
  readonly adminHost: string;
  readonly adminPort: number;
  /** A sidecar drains what comes in; what its application sends goes on until the application has ended. */
  readonly isSidecar: boolean;
  /** How long connections have before the end. */
  readonly terminationDrainMs: number;
  /** Ends when no connection is left, but not before {@link minimumDrainMs}, however long it takes. */
  readonly exitsOnZeroConnections: boolean;
  readonly minimumDrainMs: number;
  /** Ports whose connections are the platform's, not the application's. */
  readonly ownPorts: readonly number[];
  readonly clock: Clock;
  readonly log: Log;
  /** Replaced in tests. */
  readonly request?: (request: LocalRequest) => Promise<LocalResponse>;
}

/** Takes a pod out of service, once. */
export interface Drain {
  /** `/drain`: begins, and leaves the end to the signal that follows. Kubelets give it while the application ends. */
  begin(): Promise<void>;
  /** The signal: begins, and resolves when connections have had their time. At once after {@link begin}. */
  finish(): Promise<void>;
}

const ADMIN_TIMEOUT_MS = 2000;
const POLL_INTERVAL_MS = 1000;
/** Unanswered questions in a row after which the proxy counts as gone. */
const MAX_FAILURES = 5;

/** @param onBegin Called once, before the proxy is told: the pod is not ready from then on. */
export function createDrain(options: DrainOptions, onBegin: () => void): Drain {
  const { clock, terminationDrainMs, exitsOnZeroConnections, minimumDrainMs } = options;
  let isBegun = false;
  const begin = async (flags: readonly string[]): Promise<void> => {
    isBegun = true;
    onBegin();
    await tellProxy(options, flags);
  };
  return {
    async begin() {
      if (!isBegun) await begin(['skip_exit']);
    },
    async finish() {
      if (isBegun) return;
      await begin([]);
      await sleep(clock, exitsOnZeroConnections ? minimumDrainMs : terminationDrainMs);
      if (exitsOnZeroConnections) await untilIdle(options);
    },
  };
}

async function tellProxy(drain: DrainOptions, flags: readonly string[]): Promise<void> {
  const { adminHost, adminPort, isSidecar, log, request = requestLocal } = drain;
  const query = [...(isSidecar ? ['inboundonly'] : []), 'graceful', ...flags].join('&');
  try {
    const path = `/drain_listeners?${query}`;
    const options = { host: adminHost, port: adminPort, path, method: 'POST', timeoutMs: ADMIN_TIMEOUT_MS } as const;
    const { statusCode } = await request(options);
    if (statusCode !== 200) log.warn('The proxy does not drain: its admin port refused', { path, statusCode });
  } catch (error) {
    log.warn('Cannot ask the proxy to drain', { error: messageOf(error) });
  }
}

async function untilIdle({ adminHost, adminPort, ownPorts, clock, log, request = requestLocal }: DrainOptions) {
  const isOwn = new RegExp(`^listener\\.(.*_(${ownPorts.join('|')})|admin.*|envoy_internal_.*|.*\\.worker_\\d+)\\.`);
  const path = '/stats?usedonly&filter=downstream_cx_active$';
  for (let failures = 0; failures < MAX_FAILURES; ) {
    try {
      const { body } = await request({ host: adminHost, port: adminPort, path, timeoutMs: ADMIN_TIMEOUT_MS });
      failures = 0;
      const active = countActive(body, isOwn);
      if (active === 0) return;
      log.debug('Waiting for connections to end', { active });
    } catch {
      failures += 1;
    }
    await sleep(clock, POLL_INTERVAL_MS);
  }
}

function countActive(stats: string, isOwn: RegExp): number {
  let active = 0;
  for (const line of stats.split('\n')) {
    if (line.startsWith('listener.') && !isOwn.test(line)) active += Number(line.split(': ')[1] ?? 0);
  }
  return active;
}
