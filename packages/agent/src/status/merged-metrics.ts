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
  /** The port at which the proxy serves its own. */
  readonly proxyPort: number;
  /** `undefined` when the application has none. */
  readonly application: ScrapeTarget | undefined;
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
  const { agentMetrics, hosts, proxyPort, application, request = requestLocal } = options;
  const hostOf = (part: 'proxy' | 'application'): Pick<LocalRequest, 'host'> =>
    hosts === undefined ? {} : { host: hosts[part] };
  const failures = new Map<string, number>([
    ['application', 0],
    ['envoy', 0],
  ]);
  const scrapePart = async (type: string, target: LocalRequest): Promise<{ text: string; contentType: string }> => {
    try {
      const { statusCode, headers, body } = await request(target);
      if (statusCode !== 200) throw new Error(`status ${statusCode}`);
      return { text: body, contentType: headers['content-type'] ?? TEXT };
    } catch {
      failures.set(type, (failures.get(type) ?? 0) + 1);
      return { text: '', contentType: TEXT };
    }
  };
  return async ({ accept, query, timeoutMs = DEFAULT_TIMEOUT_MS }) => {
    const headers = accept === '' ? {} : { accept };
    const [proxy, app] = await Promise.all([
      scrapePart('envoy', { ...hostOf('proxy'), port: proxyPort, path: `/stats/prometheus${query}`, timeoutMs }),
      application === undefined
        ? undefined
        : scrapePart('application', { ...hostOf('application'), ...application, headers, timeoutMs }),
    ]);
    const isOpenMetrics = app?.contentType.startsWith('application/openmetrics-text') === true;
    const parts = [agentMetrics(), formatFailures(failures), proxy.text, app?.text ?? ''];
    const body = parts.map(stripEnd).join('');
    return isOpenMetrics && app !== undefined
      ? { contentType: app.contentType, body: `${body}# EOF\n` }
      : { contentType: TEXT, body };
  };
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
