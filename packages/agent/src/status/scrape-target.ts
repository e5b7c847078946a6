import type { ScrapeTarget } from './merged-metrics.ts';

/**
 * Reads `ISTIO_PROMETHEUS_ANNOTATIONS`, in which the injector keeps the application's own scrape annotations.
 *
 * @returns `undefined` when the application has none, or said no.
 */
export function readScrapeTarget(json: string | undefined): ScrapeTarget | undefined {
  if (json === undefined || json === '') return undefined;
  let annotations: { readonly scrape?: string; readonly port?: string; readonly path?: string };
  try {
    // Written by the injector; anything else counts as no annotations.
    annotations = JSON.parse(json) as typeof annotations;
  } catch {
    return undefined;
  }
  if (annotations.scrape === 'false') return undefined;
  const port = Number(annotations.port || '80');
  return Number.isInteger(port) ? { port, path: annotations.path || '/metrics' } : undefined;
}
