import { execFile } from 'node:child_process';
import { type Clock, err, type Log, ok, type Result, sleep } from '@meltemi/base';
import { type ApplicationProbe, createApplicationProbes } from './application-probes.ts';
import type { Readiness } from './readiness.ts';

/** How the application is asked whether it can serve, where no kubelet does: ProxyConfig's `readinessProbe`. */
export interface HealthProbe extends ApplicationProbe {
  readonly exec?: { readonly command: readonly string[] };
  /** Default 0. */
  readonly initialDelaySeconds?: number;
  /** Default 10. */
  readonly periodSeconds?: number;
  /** Answers in a row that make a healthy application of an unhealthy one. Default 1. */
  readonly successThreshold?: number;
  /** Default 1. */
  readonly failureThreshold?: number;
}

/** What the application was found to be. */
export interface HealthEvent {
  readonly isHealthy: boolean;
  /** Why not. */
  readonly message: string;
}

/** Knows whether the application can serve. */
export interface ApplicationHealth {
  /** `undefined` until it is known. */
  current(): HealthEvent | undefined;
  /** Calls back when it changes from healthy to unhealthy, or back. Returns the function that ends it. */
  onChange(listener: () => void): () => void;
  /** Asks until the signal. */
  run(signal: AbortSignal): Promise<void>;
}

/** What {@link createApplicationHealth} works with. */
export interface ApplicationHealthOptions {
  readonly probe: HealthProbe;
  /** Where the application is asked. */
  readonly podIp: string;
  /** Nobody reaches the application but through the proxy. */
  readonly readiness: Pick<Readiness, 'check'>;
  readonly clock: Clock;
  readonly log: Log;
}

const DEFAULT_PERIOD_S = 10;
const PATH = '/readiness';

const NUMBERS = [
  'initialDelaySeconds',
  'periodSeconds',
  'timeoutSeconds',
  'successThreshold',
  'failureThreshold',
] as const satisfies readonly (keyof HealthProbe)[];
/** What one timer of Node takes, in seconds; a longer one, as one that is no number, would end at once. */
const MAX_NUMBER = 2_147_483;

/** Takes a probe out of ProxyConfig. */
export function parseHealthProbe(value: unknown): Result<HealthProbe | undefined> {
  if (value === undefined) return ok(undefined);
  // What is wrong within the parts shows when the probe is run.
  const probe = value as HealthProbe | null;
  const ways = [probe?.httpGet, probe?.tcpSocket, probe?.exec, probe?.grpc].filter((way) => way !== undefined);
  if (ways.length !== 1 || probe === null)
    return err('readinessProbe: one of httpGet, tcpSocket, exec and grpc is needed');
  const wrong = NUMBERS.find((name) => !isNumber(probe[name] ?? 0));
  return wrong === undefined ? ok(probe) : err(`readinessProbe.${wrong}: must be a number of 0 to ${MAX_NUMBER}`);
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= MAX_NUMBER;
}

/** Creates the one who asks. Nothing is asked before {@link ApplicationHealth.run}. */
export function createApplicationHealth(options: ApplicationHealthOptions): ApplicationHealth {
  const { probe, readiness, clock, log } = options;
  const { initialDelaySeconds = 0, periodSeconds, successThreshold, failureThreshold } = probe;
  const listeners = new Set<() => void>();
  const ask = createAsker(options);
  let event: HealthEvent | undefined;
  let inARow = { isHealthy: true, count: 0 };

  const note = (next: HealthEvent): void => {
    inARow = { isHealthy: next.isHealthy, count: inARow.isHealthy === next.isHealthy ? inARow.count + 1 : 1 };
    const threshold = (next.isHealthy ? successThreshold : failureThreshold) || 1;
    if (inARow.count < threshold || event?.isHealthy === next.isHealthy) return;
    event = next;
    if (next.isHealthy) log.info('The application is healthy');
    else log.info('The application is not healthy', { problem: next.message });
    for (const listener of listeners) listener();
  };
  return {
    current: () => event,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async run(signal) {
      await sleep(clock, initialDelaySeconds * 1000, signal);
      while (!signal.aborted) {
        const ready = await readiness.check();
        const problem = ready.ok ? await ask(signal) : ready.error;
        if (!signal.aborted) note({ isHealthy: problem === undefined, message: problem ?? '' });
        await sleep(clock, (periodSeconds || DEFAULT_PERIOD_S) * 1000, signal);
      }
    },
  };
}

/** @returns A function that asks once and says what is wrong. */
function createAsker({ probe, podIp }: ApplicationHealthOptions): (signal: AbortSignal) => Promise<string | undefined> {
  const { exec, timeoutSeconds } = probe;
  if (exec !== undefined)
    return (signal) => runCommand(exec.command, { timeoutMs: (timeoutSeconds || 1) * 1000, signal });
  const probes = createApplicationProbes(new Map([[PATH, probe]]), probe.httpGet?.host || podIp);
  return async (signal) => {
    const { statusCode, body } = await probes.run(PATH, {}, signal);
    return statusCode >= 200 && statusCode < 400 ? undefined : `${statusCode} ${body.trim()}`.trim();
  };
}

function runCommand(
  [program = '', ...args]: readonly string[],
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: timeoutMs, killSignal: 'SIGKILL', signal }, (error, _stdout, stderr) => {
      if (error === null) resolve(undefined);
      else resolve(error.killed === true ? 'timed out' : stderr.trim() || error.message);
    });
  });
}
