import { err, messageOf, ok, type Result } from '@meltemi/base';
import { type LocalRequest, type LocalResponse, requestLocal } from './local-http.ts';

/** Tells whether the sidecar can take traffic. */
export interface Readiness {
  /** @returns Why not, when not. */
  check(): Promise<Result<true>>;
  /** From now on the sidecar is not ready, whatever the proxy says: it is about to end. */
  terminate(): void;
}

/** What {@link createReadiness} works with. */
export interface ReadinessOptions {
  /** Default: 127.0.0.1. */
  readonly adminHost?: string;
  readonly adminPort: number;
  /** What else has to be there, such as a table of names: each says what it waits for, and is not asked again once there. */
  readonly conditions?: readonly (() => string | undefined)[];
  /** Replaced in tests. */
  readonly request?: (request: LocalRequest) => Promise<LocalResponse>;
}

const TIMEOUT_MS = 1000;
const CDS = 'cluster_manager.cds';
const LDS = 'listener_manager.lds';
const STATS_PATH =
  '/stats?usedonly&filter=^(cluster_manager\\.cds|listener_manager\\.lds)\\.update_(success|rejected)$';
const WORKERS = 'listener_manager.workers_started';

/**
 * Asks the proxy's admin port. Ready means: the proxy has accepted clusters and listeners once, has started its workers and
 * is live. Each is remembered, as in Istio: who asks comes through the proxy, and so sees that it serves.
 */
export function createReadiness({
  adminHost = '127.0.0.1',
  adminPort,
  conditions = [],
  request = requestLocal,
}: ReadinessOptions): Readiness {
  let isTerminating = false;
  let hasConfiguration = false;
  let isLive = false;
  const pending = new Set(conditions);
  const conditionProblem = (): string | undefined => {
    for (const condition of pending) {
      const problem = condition();
      if (problem !== undefined) return problem;
      pending.delete(condition);
    }
    return undefined;
  };
  const ask = (path: string): Promise<LocalResponse> =>
    request({ host: adminHost, port: adminPort, path, timeoutMs: TIMEOUT_MS });
  return {
    terminate: () => {
      isTerminating = true;
    },
    async check() {
      if (isTerminating) return err('the sidecar is ending');
      try {
        if (!hasConfiguration) {
          const problem = findConfigurationProblem(parseStats((await ask(STATS_PATH)).body));
          if (problem !== undefined) return err(problem);
          hasConfiguration = true;
        }
        const problem = conditionProblem() ?? (isLive ? undefined : await findLifeProblem(ask));
        if (problem !== undefined) return err(problem);
        isLive = true;
        return ok(true);
      } catch (error) {
        return err(`the proxy's admin port does not answer: ${messageOf(error)}`);
      }
    },
  };
}

async function findLifeProblem(ask: (path: string) => Promise<LocalResponse>): Promise<string | undefined> {
  const ready = await ask('/ready');
  if (ready.statusCode !== 200) return `the proxy is ${ready.body.trim() || `answering ${ready.statusCode}`}`;
  const workers = parseStats((await ask(`/stats?filter=^${WORKERS.replace('.', '\\.')}$`)).body).get(WORKERS);
  return workers === 1 ? undefined : 'the proxy has not started its workers yet';
}

function findConfigurationProblem(stats: ReadonlyMap<string, number>): string | undefined {
  const count = (manager: string, outcome: string): number => stats.get(`${manager}.update_${outcome}`) ?? 0;
  const describe = (manager: string): string =>
    `${count(manager, 'success')} accepted, ${count(manager, 'rejected')} rejected`;
  if (count(CDS, 'success') > 0 && count(LDS, 'success') > 0) return undefined;
  const counts = `clusters: ${describe(CDS)}; listeners: ${describe(LDS)}`;
  const wasRejected = count(CDS, 'rejected') > 0 || count(LDS, 'rejected') > 0;
  return wasRejected
    ? `configuration from the control plane was rejected by the proxy (${counts})`
    : `no configuration from the control plane yet; is it running? (${counts})`;
}

/** Parses `name: value` lines; lines whose value is not a number are left out. */
export function parseStats(text: string): ReadonlyMap<string, number> {
  const stats = new Map<string, number>();
  for (const line of text.split('\n')) {
    const separator = line.lastIndexOf(': ');
    const value = Number(line.slice(separator + 2));
    if (separator > 0 && !Number.isNaN(value)) stats.set(line.slice(0, separator), value);
  }
  return stats;
}
