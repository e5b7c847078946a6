import { err, ok, type Result } from '@meltemi/base';

/** Ports of the sidecar itself: scraping one as the application's would scrape the sidecar twice, or for ever. */
const SIDECAR_PORTS: ReadonlySet<number> = new Set([15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090]);

const NAMES = { scrape: 'prometheus.io/scrape', port: 'prometheus.io/port', path: 'prometheus.io/path' } as const;
const MERGED_PATH = '/stats/prometheus';

/** Scrape annotations after the merge. */
export interface MergedScrape {
  readonly annotations: Readonly<Record<string, string>>;
  /** The value of `ISTIO_PROMETHEUS_ANNOTATIONS`; `undefined` when the application had none or scraping is refused. */
  readonly saved: string | undefined;
}

/**
 * Points Prometheus at the agent, which adds the application's metrics, and saves where those are.
 *
 * @param savedBefore What an earlier injection of this pod saved.
 */
export function mergeScrapeAnnotations(
  annotations: Readonly<Record<string, string>>,
  statusPort: number,
  savedBefore: string | undefined,
): Result<MergedScrape> {
  const scrape = annotations[NAMES.scrape];
  const port = annotations[NAMES.port];
  const path = annotations[NAMES.path];
  if (scrape === 'false') return ok({ annotations, saved: undefined });
  const merged = {
    ...annotations,
    [NAMES.scrape]: 'true',
    [NAMES.port]: String(statusPort),
    [NAMES.path]: MERGED_PATH,
  };
  const isMerged = port === String(statusPort) && path === MERGED_PATH;
  if (isMerged) return ok({ annotations: merged, saved: savedBefore });
  if (port !== undefined && SIDECAR_PORTS.has(Number(port))) {
    return err(`${NAMES.port}: "${port}" is a port of the sidecar; name the application's, or remove the annotation`);
  }
  if (scrape === undefined && port === undefined && path === undefined)
    return ok({ annotations: merged, saved: undefined });
  return ok({
    annotations: merged,
    saved: JSON.stringify({ scrape: scrape ?? '', path: path ?? '', port: port ?? '' }),
  });
}
