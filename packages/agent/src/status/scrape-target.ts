import type { ScrapeTarget } from './merged-metrics.ts';

/** The application's scrape annotations, as the injector keeps them. */
interface ScrapeAnnotations {
  readonly scrape?: string;
  readonly port?: string;
  readonly path?: string;
  /** Of annotation `prometheus.istio.io/scrape-targets`. */
  readonly targets?: readonly { readonly port?: string; readonly path?: string }[];
}

/** More than this many servers in one pod are a mistake, and each is a call for every scrape. */
const MAX_TARGETS = 32;

/**
 * Reads `ISTIO_PROMETHEUS_ANNOTATIONS`, in which the injector keeps the application's own scrape annotations.
 *
 * @returns In declared order; empty when the application has none, or said no.
 */
export function readScrapeTargets(json: string | undefined): readonly ScrapeTarget[] {
  if (json === undefined || json === '') return [];
  let annotations: ScrapeAnnotations;
  try {
    // Written by the injector; anything else counts as no annotations.
    annotations = JSON.parse(json) as ScrapeAnnotations;
  } catch {
    return [];
  }
  if (annotations.scrape === 'false') return [];
  const { targets = [] } = annotations;
  const declared = Array.isArray(targets) && targets.length > 0 ? targets.slice(0, MAX_TARGETS) : [annotations];
  return declared.flatMap(({ port = '80', path = '' }) => {
    const number = Number(port || '80');
    return Number.isInteger(number) ? [{ port: number, path: path || '/metrics' }] : [];
  });
}
