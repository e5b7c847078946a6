import { type LocalRequest, type LocalResponse, requestLocal } from './local-http.ts';

/** Where the application serves its metrics. */
export interface ScrapeTarget {
  readonly port: number;
  readonly path: string;
}

/** What Prometheus is answered. */
export interface MergedMetrics {
  readonly contentType: string;
  readonly body: string;
}

/** Where the parts of a scrape come from. */
export interface MetricsMergerOptions {
  /** The metrics of the agent itself, in Prometheus text. */
  readonly agentMetrics: () => string;
  /** Default: 127.0.0.1 for both. */
  readonly hosts?: { readonly proxy: string; readonly application: string };
  /** The port at which the proxy serves its own; `undefined` leaves them out. */
  readonly proxyPort: number | undefined;
  /** In the order in which they are to come; empty when the application has none. */
  readonly applications: readonly ScrapeTarget[];
  /** Replaced in tests. */
  readonly request?: (request: LocalRequest) => Promise<LocalResponse>;
}

const DEFAULT_TIMEOUT_MS = 1000;
const TEXT = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * Answers a scrape of the pod: the agent's metrics, the proxy's, and the application's last. A part that fails is left
 * out and counted; the answer is never an error.
 */
export function createMetricsMerger(
  options: MetricsMergerOptions,
): (scrape: {
  readonly accept: string;
  readonly query: string;
  readonly timeoutMs?: number;
}) => Promise<MergedMetrics> {
  const { agentMetrics, hosts, proxyPort, applications, request = requestLocal } = options;
  const hostOf = (part: 'proxy' | 'application'): Pick<LocalRequest, 'host'> =>
    hosts === undefined ? {} : { host: hosts[part] };
  const failures = new Map<string, number>([
    ['application', 0],
    ['envoy', 0],
  ]);
  const scrapePart = async (type: string, target: LocalRequest): Promise<MergedMetrics | undefined> => {
    try {
      const { statusCode, headers, body } = await request(target);
      if (statusCode !== 200) throw new Error(`status ${statusCode}`);
      return { body, contentType: headers['content-type'] ?? TEXT };
    } catch {
      failures.set(type, (failures.get(type) ?? 0) + 1);
      return undefined;
    }
  };
  return async ({ accept, query, timeoutMs = DEFAULT_TIMEOUT_MS }) => {
    const headers = accept === '' ? {} : { accept };
    const [proxy, ...scraped] = await Promise.all([
      proxyPort === undefined
        ? undefined
        : scrapePart('envoy', { ...hostOf('proxy'), port: proxyPort, path: `/stats/prometheus${query}`, timeoutMs }),
      ...applications.map((target) =>
        scrapePart('application', { ...hostOf('application'), ...target, headers, timeoutMs }),
      ),
    ]);
    const answers = scraped.filter((answer) => answer !== undefined);
    const contentType = commonType(answers);
    const parts = [agentMetrics(), formatFailures(failures), proxy?.body ?? '', ...answers.map(({ body }) => body)];
    const body = parts.map(stripEnd).join('');
    return contentType === undefined ? { contentType: TEXT, body } : { contentType, body: `${body}# EOF\n` };
  };
}

/** The OpenMetrics type of the first answer, if all are of that kind: mixed answers are plain text together. */
function commonType(answers: readonly MergedMetrics[]): string | undefined {
  return answers.every(({ contentType }) => contentType.startsWith('application/openmetrics-text'))
    ? answers[0]?.contentType
    : undefined;
}

/** `# EOF` ends an OpenMetrics document and may stand at its very end only. */
function stripEnd(text: string): string {
  const lines = text.split('\n').filter((line) => line !== '# EOF' && line !== '');
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function formatFailures(failures: ReadonlyMap<string, number>): string {
  const name = 'istio_agent_scrape_failures_total';
  const lines = [...failures].map(([type, count]) => `${name}{type="${type}"} ${count}`);
  return `# TYPE ${name} counter\n${lines.join('\n')}\n`;
}
